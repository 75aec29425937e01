"""A protocol in words: seats, schedule, decision, rewards."""

from __future__ import annotations

from collections.abc import Iterator

from debate.protocol.spec import DebateProtocol, Slot


def describe(protocol: DebateProtocol) -> Iterator[str]:
    """Line by line, for the terminal."""
    yield f"{protocol.name} — {protocol.title}"
    yield protocol.summary
    yield f"source: {protocol.source}"
    if protocol.parameters:
        yield "parameters: " + ", ".join(f"{key} = {value}" for key, value in protocol.parameters.items())
    for role in protocol.roles:
        answers = {"none": "", "by_seat": "; defends an answer by its seat", "random": "; defends a drawn answer"}
        yield f"role {role.name} ({', '.join(role.seats)}): sees {', '.join(sorted(role.sees))}{answers[role.answers]}"
    for number, slot in enumerate(protocol.schedule):
        yield f"{number:>3}  {_slot(slot)}"
    material = " and the material" if protocol.decision.sees_material else ""
    decider = {
        "judge": f"a judge, who sees the question{material} and what was said in public",
        "seat": "the seat with the decision slot",
        "verifier": "a verifier of final answers",
        "nobody": "nobody",
    }
    yield f"decided by {decider[protocol.decision.by]}"
    for criterion in protocol.rewards:
        settings = "".join(f", {key} = {value}" for key, value in criterion.params.items())
        yield f"reward {criterion.name}: rule {criterion.rule}{settings} ({criterion.utility})"
    if protocol.finite:
        yield "finite: can be compiled to an extensive game and solved exactly"


def _slot(slot: Slot) -> str:
    together = " at once, blind to each other" if len(slot.seats) > 1 else ""
    what = {"speech": "speak", "question": "ask", "choice": "pick", "decision": "decide"}[slot.kind]
    of = ""
    if slot.kind == "choice":
        of = f" of {slot.choices if isinstance(slot.choices, str) else ', '.join(slot.choices)}"
    hidden = {"public": "", "private": " (kept private)", "ephemeral": " (scratchpad)"}[slot.visibility]
    limits = "".join(f", at most {n} {unit}" for n, unit in ((slot.words, "words"), (slot.tokens, "tokens")) if n)
    where = "" if slot.channel == "public" else f" on channel {slot.channel}"
    return f"{slot.phase:<10} {' and '.join(slot.seats)} {what}{of}{together}{where}{hidden}{limits}"
