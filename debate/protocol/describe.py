"""A protocol in words: seats, schedule, decision, rewards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from debate.protocol.spec import Block, Condition, DebateProtocol, Drawn, Slot

_ANSWERS = {"none": "", "by_seat": "; defends an answer by its seat", "random": "; defends a drawn answer"}

_PARTS = {
    "draft": "draft",
    "critique": "criticise a draft of {of}",
    "refine": "write the draft again",
    "pick": "pick a draft of {of}",
    "say": "say what was drafted",
}


def describe(protocol: DebateProtocol) -> Iterator[str]:
    """Line by line, for the terminal."""
    yield f"{protocol.name} — {protocol.title}"
    yield protocol.summary
    yield f"source: {protocol.source}"
    if protocol.parameters:
        yield "parameters: " + ", ".join(f"{key} = {value}" for key, value in protocol.parameters.items())
    for role in protocol.roles:
        answers = _ANSWERS.get(role.answers, f"; defends another answer than {role.opposes}")
        options = f"; plan moves {', '.join(role.options)}" if role.options else ""
        yield f"role {role.name} ({', '.join(role.seats)}): sees {', '.join(sorted(role.sees))}{answers}{options}"
    for channel in protocol.channels[1:]:
        readers, writers = (", ".join(sorted(names)) or "nobody" for names in (channel.readers, channel.writers))
        yield f"channel {channel.name}: read by {readers}; written by {writers}"
    yield from _schedule(protocol.schedule, "")
    yield f"decided by {_decider(protocol)}"
    limits = _limits(protocol)
    if limits:
        yield f"budget of a seat in a match: {limits}"
    for criterion in protocol.rewards:
        settings = "".join(f", {key} = {value}" for key, value in criterion.params.items())
        paid = f", paid to {', '.join(criterion.roles)}" if criterion.roles else ""
        yield f"reward {criterion.name}: rule {criterion.rule}{settings} ({criterion.utility}{paid})"
    if protocol.finite:
        yield "finite: can be compiled to an extensive game and solved exactly"


def _schedule(nodes: Sequence[Slot | Block], indent: str) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Slot):
            yield f"{node.id:>3}  {indent}{_slot(node)}"
        else:
            yield f"     {indent}{heading(node)}:"
            yield from _schedule(node.items, indent + "  ")


def heading(block: Block) -> str:
    """How a block is played, in words."""
    parts = []
    if block.said is not None:
        parts.append(f"towards one {block.said.phase}")
    elif block.recurse:
        parts.append(f"recurse at most {block.repeat} levels deep")
    elif block.scope:
        parts.append(f"repeat {'at most ' if block.until else ''}{block.repeat} times")
    if block.when is not None:
        parts.append(f"when {say(block.when)}")
    if block.until is not None:
        parts.append(f"until {say(block.until)}")
    return ", ".join(parts) or "together"


def say(condition: Condition) -> str:
    """A condition in words."""
    test, phase = condition.test, condition.phase
    if test == "not":
        return f"not ({say(condition.inner[0])})"
    if test in ("all", "anyof"):
        return (" and " if test == "all" else " or ").join(f"({say(inner)})" for inner in condition.inner)
    return {
        "is": f"{phase} is {condition.text!r}",
        "any": f"somebody's {phase} is {condition.text!r}",
        "agreed": f"all agree in {phase}",
        "says": f"{condition.role} has said the secret",
        "verified": f"the last answer of {condition.role} is verified",
        "played": f"{phase} was played",
    }[test]


def _slot(slot: Slot) -> str:
    together = " at once, blind to each other" if len(slot.seats) > 1 else ""
    what = {"speech": "speak", "question": "ask", "choice": "pick", "decision": "decide", "chance": "draws"}[slot.kind]
    of = ""
    if slot.step is not None:
        what = _PARTS[slot.step.part].format(of="its own" if slot.on_own else slot.step.of)
    elif isinstance(slot.choices, Drawn):
        of = f" of {'the parts of' if slot.choices.source == 'parts_of' else 'what was said in'} {slot.choices.phase}"
    elif slot.kind in ("choice", "chance"):
        of = f" of {slot.choices if isinstance(slot.choices, str) else ', '.join(slot.choices)}"
    if isinstance(slot.probabilities, str):
        of += f" (the probability of the first was picked in {slot.probabilities})"
    hidden = {"public": "", "private": " (kept private)", "ephemeral": " (scratchpad)"}[slot.visibility]
    hidden = " (unsaid)" if slot.aside else hidden
    limits = "".join(f", at most {n} {unit}" for n, unit in ((slot.words, "words"), (slot.tokens, "tokens")) if n)
    where = "" if slot.channel == "public" else f" on channel {slot.channel}"
    marks = [
        (slot.binds, ", and is bound to it"),
        (slot.plan == "speak", ", by the plan move picked"),
        (bool(slot.parts), f", in at most {slot.parts} parts"),
        (bool(slot.recall), f", as a copy that remembers nothing after {slot.recall}"),
        (slot.when is not None, f", when {say(slot.when)}" if slot.when else ""),
    ]
    more = "".join(text for holds, text in marks if holds)
    return f"{slot.phase:<10} {' and '.join(slot.seats)} {what}{of}{together}{where}{hidden}{limits}{more}"


def _decider(protocol: DebateProtocol) -> str:
    decision = protocol.decision
    shown = ["the question", *(["the material"] if decision.sees_material else [])]
    shown += ["what was said in public" if name == "public" else f"channel {name}" for name in decision.channels]
    sees = f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]
    decider = {
        "judge": f"a judge, who sees {sees}",
        "seat": "the seat with the decision slot",
        "jury": "a jury: the mean of its members' decisions",
        "vote": "a majority of votes",
        "verifier": f"a verifier of final answers ({decision.verifier})",
        "nobody": "nobody",
    }[decision.by]
    if decision.options:
        about = f" about {decision.about}" if decision.about else ""
        decider += f"; decided is {' or '.join(decision.options)}{about}"
    if decision.by in ("jury", "vote"):
        tie = {"draw": "is a draw", "first": "goes to the first option", "random": "is broken at random"}
        decider += f"; an equal vote {tie[decision.ties]}"
    return decider


def _limits(protocol: DebateProtocol) -> str:
    budgets = protocol.budgets
    named = (
        (budgets.tokens, "tokens"),
        (budgets.think_tokens, "think tokens"),
        (budgets.words, "words"),
        (budgets.quotes, "quotes"),
        (budgets.verifier_calls, "verifier calls"),
    )
    return ", ".join(f"{n} {unit}" for n, unit in named if n is not None)
