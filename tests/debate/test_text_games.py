"""OpenSpiel's games as text protocols, held against OpenSpiel's own numbers."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import games
from debate.agents.agent import Agent, Reply
from debate.agents.scripted import ScriptedSpeaker, random_legal
from debate.bridge import as_game, policy_of
from debate.cli import main
from debate.data import load_questions
from debate.errors import UserError
from debate.play import Arena, play
from debate.protocol.load import load_protocol
from debate.text_games.table import TableSpeaker
from debate.transcript import Failure, Match, Policy
from debate.views import conversation
from judges.rules import make_rule

pyspiel = pytest.importorskip("pyspiel")

KUHN, DICE = "openspiel:kuhn_poker", "openspiel:liars_dice(dice_sides=3)"


def arena(name, limit=1):
    protocol = load_protocol(name)
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    questions = load_questions({"adapter": "deals", "limit": limit}, 0)
    return Arena("game", protocol, {q.id: q for q in questions}, (), rules)


def seated(speaker):
    return Agent(Policy("p", 0, "x"), speaker)


def nano(name="nano"):
    from debate.agents.language import LanguageSpeaker
    from debate.engines.nano.engine import nano_completer
    from debate.engines.nano.model import load_model, state_of

    completer = nano_completer()
    completer.publish(f"{name}-v0", state_of(load_model()))
    return Agent(Policy(name, 0, "nano"), LanguageSpeaker(completer, "compact"))


def theirs(name, policy):
    """OpenSpiel's NashConv of the same policy."""
    game = pyspiel.load_game(name.removeprefix("openspiel:"))
    table = {}

    def walk(state):
        if state.is_terminal():
            return
        if not state.is_chance_node():
            mover = state.current_player()
            text = state.information_state_string()
            row = policy[f"player{mover}|{text}"]
            table[text] = [(a, row[state.action_to_string(mover, a)]) for a in state.legal_actions()]
        for action in state.legal_actions():
            walk(state.child(action))

    walk(game.new_initial_state())
    return pyspiel.nash_conv(game, pyspiel.TabularPolicy(table))


@pytest.mark.parametrize("name, uniform", [(KUHN, 11 / 12), (DICE, None)])
def test_exact_nash_conv_of_agents_is_openspiels(name, uniform):
    compiled = as_game(arena(name))
    seats = compiled.game.players
    fair = asyncio.run(policy_of(compiled, dict.fromkeys(seats, seated(ScriptedSpeaker(random_legal)))))
    assert fair.illegal_mass == 0.0
    model = asyncio.run(policy_of(compiled, dict.fromkeys(seats, nano())))
    assert games.nash_conv(compiled.game, model.probabilities) == pytest.approx(theirs(name, model.probabilities))
    # Scripts are read at one seed; uniform play itself is known.
    if uniform is not None:
        assert games.nash_conv(compiled.game, compiled.game.uniform_policy()) == pytest.approx(uniform)


def test_equilibrium_tables_play_to_the_value():
    """Kuhn poker is worth −1/18 to the first player (Kuhn 1950)."""
    here = arena(KUHN, 4000)
    compiled = as_game(here)
    found = games.sequence_form_lp(compiled.game)
    assert found.value == pytest.approx(-1 / 18)
    cast = {"p-v0": seated(TableSpeaker(compiled.game.policy_table(found.policy)))}
    matches = [Match(f"m/{q}", "game", q, dict.fromkeys(here.protocol.seats, "p-v0")) for q in here.questions]
    episodes = asyncio.run(play(here, matches, cast, 0))
    won = np.array([e.rewards.values[:, 0] for e in episodes])
    assert (won.sum(axis=1) == 0).all()
    assert won[:, 0].mean() == pytest.approx(-1 / 18, abs=4 * won[:, 0].std() / len(won) ** 0.5)


def test_matches_on_one_deal_get_the_same_cards_whoever_plays():
    here = arena(KUHN, 40)
    bettor = seated(TableSpeaker({n: {"Bet": 1.0} for n in as_game(here).positions}))
    seats = here.protocol.seats
    cast = {"bet": bettor, "random": seated(ScriptedSpeaker(random_legal))}
    both = [Match(f"{who}/{q}", "game", q, dict.fromkeys(seats, who)) for who in cast for q in here.questions]
    episodes = asyncio.run(play(here, both, cast, 5))
    bets, randoms = episodes[:40], episodes[40:]
    for one, other in zip(bets, randoms, strict=True):
        assert abs(one.rewards.values[0, 0]) == 2  # both bet: the cards alone decide
        last = [turn.public for turn in other.transcript.turns if turn.seat != "chance"]
        if last == ["Bet", "Bet"] or last == ["Pass", "Pass"]:
            assert np.sign(other.rewards.values[0, 0]) == np.sign(one.rewards.values[0, 0])
    assert len({e.rewards.values[0, 0] for e in bets}) == 2
    again = asyncio.run(play(here, both[40:50], cast, 5))
    assert [e.transcript.turns for e in again] == [e.transcript.turns for e in randoms[:10]]


def test_models_read_what_their_seat_knows_and_nothing_else():
    here = arena(KUHN)
    compiled = as_game(here)
    seat, state = compiled.positions["player0|1pb"]
    chat = [m.text for m in conversation(state, seat, "chat")]
    assert "You are player0 of player0, player1." in chat[0]
    assert chat[1] == "Your card is the queen. No move has been made yet.\nPick one of: Pass, Bet"
    assert chat[2] == "Pass"
    assert chat[3] == "Your card is the queen. Moves so far: Pass, Bet.\nPick one of: Pass, Bet"
    assert [m.text for m in conversation(state, seat, "compact")] == ["player0", "1", "Pass", "1pb"]
    seat, state = as_game(arena(DICE)).positions["player1|2 1-2"]
    told = conversation(state, seat, "chat")[-1].text
    assert told.startswith("You rolled 2. Bids so far: 1-2.\nPick one of: 1-3, 2-1, 2-2, 2-3, Liar")


def test_the_played_conversation_is_the_one_that_policies_are_read_from():
    """policy_of asks at positions; play asks with a growing conversation: the messages must be the same."""
    here = arena(DICE, 30)
    heard = {}

    class Spy(ScriptedSpeaker):
        async def __call__(self, asks):
            for ask in asks:
                heard[tuple(m.text for m in ask.messages)] = ask
            return await super().__call__(asks)

    cast = {"p-v0": seated(Spy(random_legal, "chat"))}
    matches = [Match(f"m/{q}", "game", q, dict.fromkeys(here.protocol.seats, "p-v0")) for q in here.questions]
    asyncio.run(play(here, matches, cast, 0))
    compiled = as_game(here)
    known = {tuple(m.text for m in conversation(s, seat, "chat")) for seat, s in compiled.positions.values()}
    assert heard and set(heard) <= known


def test_the_rules_of_liars_dice_say_what_openspiel_does():
    """The highest face is wild; the bidder wins if the bid is true."""
    for own, other, bid, bidder_wins in [(0, 2, "2-1", True), (0, 1, "2-1", False), (2, 2, "2-1", True)]:
        state = pyspiel.load_game("liars_dice(dice_sides=3)").new_initial_state()
        state.apply_action(own)
        state.apply_action(other)
        for text in (bid, "Liar"):
            mover = state.current_player()
            state.apply_action(next(a for a in state.legal_actions() if state.action_to_string(mover, a) == text))
        assert (state.returns()[0] > 0) == bidder_wins


def test_failures_stay_failures():
    class Broken:
        style = "compact"

        async def __call__(self, asks):
            return [Reply(stop_reason="error", failure=Failure("completion", a.seat, "no answer")) for a in asks]

    class Careless(Broken):
        async def __call__(self, asks):
            return [Reply(option=7) for _ in asks]

    for speaker, kind in ((Broken(), "completion"), (Careless(), "move")):
        here = arena(KUHN)
        match = Match("m", "game", "deal-000000", dict.fromkeys(here.protocol.seats, "p-v0"))
        (episode,) = asyncio.run(play(here, [match], {"p-v0": seated(speaker)}, 0))
        assert episode.failure.kind == kind and episode.rewards is None


def test_other_games_play_too(capsys):
    """Simultaneous moves, perfect information, three players, bracketed state strings."""
    for name in ("goofspiel(num_cards=3)", "tic_tac_toe", "kuhn_poker(players=3)", "leduc_poker", "matrix_rps"):
        assert main(["play", f"openspiel:{name}", "--seed", "2"]) == 0
        assert "rewards   player0: utility" in capsys.readouterr().out
    assert main(["play", KUHN, "--set", "players=4", "--seat", "player3=nano"]) == 0
    assert "player3: nano-v0" in capsys.readouterr().out


def test_tournaments_of_text_games_swap_the_seats(tmp_path, capsys):
    recipe = tmp_path / "poker.yaml"
    recipe.write_text(
        """
name: poker
agents: {fair: {kind: scripted, script: random_legal}, other: {kind: scripted, script: random_legal}}
arenas: {poker: {protocol: "openspiel:kuhn_poker", data: {adapter: deals, limit: 20}}}
tournament: {format: round_robin, questions: 20, resamples: 20}
"""
    )
    assert main(["tournament", str(recipe), "--out", str(tmp_path / "run")]) == 0
    assert "40 matches, 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name, says",
    [
        ("openspiel:kuhn_pokr", 'did you mean "kuhn_poker"'),
        ("openspiel:mfg_crowd_modelling", "expected sequential or simultaneous"),
        ("openspiel:kuhn_poker(colours=3)", "colours"),
    ],
)
def test_what_cannot_be_played_says_why(name, says):
    with pytest.raises(UserError, match=says):
        load_protocol(name)


@pytest.mark.slow
def test_exact_nash_conv_of_smollm2_is_openspiels():
    """A language model's option log-probabilities, read into Kuhn poker."""
    from pathlib import Path

    if not (Path.home() / ".cache/debate-trainer/models/smollm2-135m").exists():
        pytest.skip("needs debate models pull smollm2-135m")
    from debate.play_one import _speaker

    here = arena(KUHN)
    compiled = as_game(here)
    agent = Agent(Policy("smollm2-135m", 0, "smollm2-135m"), _speaker("smollm2-135m", here.protocol))
    policy = asyncio.run(policy_of(compiled, dict.fromkeys(here.protocol.seats, agent)))
    ours = games.nash_conv(compiled.game, policy.probabilities)
    assert ours == pytest.approx(theirs(KUHN, policy.probabilities), abs=1e-9)
    assert 0.01 < ours < 4
    # A protocol of our own: the evidence debate, with the model's log-probabilities of the weights.
    from judges.judges.evidence import NaiveEvidenceJudge

    protocol = load_protocol("evidence_debate", {"k": 1})
    questions = load_questions({"adapter": "evidence", "n": 4, "split": "test", "limit": 2}, 0)
    debate = Arena("e", protocol, {q.id: q for q in questions}, (NaiveEvidenceJudge(),), {"win": make_rule("win")})
    compiled = as_game(debate, ["win"])
    policy = asyncio.run(policy_of(compiled, dict.fromkeys("AB", agent)))
    assert 0 <= games.nash_conv(compiled.game, policy.probabilities) <= 4
    assert 0 < policy.illegal_mass < 1


# --- protocols of our own, registered with OpenSpiel


def test_exploitability_of_a_protocol_is_openspiels():
    """The evidence debate's compiled game goes to OpenSpiel and back; nano's NashConv is the same on both sides."""
    from judges.judges.evidence import NaiveEvidenceJudge

    protocol = load_protocol("evidence_debate", {"k": 1})
    rules = {"win": make_rule("win")}
    questions = load_questions({"adapter": "evidence", "n": 3, "split": "test", "limit": 4}, 0)
    here = Arena("e", protocol, {q.id: q for q in questions}, (NaiveEvidenceJudge(),), rules)
    compiled = as_game(here, ["win"])
    policy = asyncio.run(policy_of(compiled, dict.fromkeys("AB", nano())))
    ours = games.nash_conv(compiled.game, policy.probabilities)
    spiel = games.to_openspiel(compiled.game)
    again = games.from_openspiel(spiel)
    assert again.num_nodes == compiled.game.num_nodes
    # OpenSpiel names information sets anew; nodes keep their order, which carries the policy over.
    flat, table = compiled.game.policy(policy.probabilities), {}
    for node in np.flatnonzero(compiled.game.infoset >= 0):
        mine, other = compiled.game.infoset[node], again.infoset[node]
        low, high = compiled.game.offsets[mine], compiled.game.offsets[mine + 1]
        table[again.infoset_names[other]] = list(enumerate(flat[low:high].tolist()))
    state = spiel.new_initial_state()
    while state.is_chance_node():
        state.apply_action(state.legal_actions()[0])
    actions = state.legal_actions()
    assert len(actions) == 3
    numbered = _numbered(spiel, table)
    assert pyspiel.nash_conv(spiel, pyspiel.TabularPolicy(numbered)) == pytest.approx(ours, abs=1e-9)


def _numbered(spiel, table):
    """Positions of actions → OpenSpiel's action numbers."""
    found = {}

    def walk(state):
        if state.is_terminal():
            return
        if not state.is_chance_node():
            text = state.information_state_string()
            found[text] = [(a, table[text][i][1]) for i, a in enumerate(state.legal_actions())]
        for action in state.legal_actions():
            walk(state.child(action))

    walk(spiel.new_initial_state())
    return found
