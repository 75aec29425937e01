"""One run in progress: its folder and store, its arenas and cast, and what a checkpoint brings back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debate.agents.agent import Agent
from debate.cast import Cast
from debate.errors import UserError
from debate.judging import build_judges, check_audits, check_judges
from debate.league.alarms import Watch
from debate.learning.assigner import CreditAssigner
from debate.learning.configured import credit_assigner
from debate.logging import Sink, sinks
from debate.play import Arena, Player, play
from debate.progress import Progress, Silent
from debate.recipe import ArenaSpec, Recipe, build_arena
from debate.recipes.engines import check_engines, untrained
from debate.run.folder import RunFolder
from debate.run.store import Store
from debate.run.waves import waves
from debate.scale.cluster import ScaleSpec, placed
from debate.transcript import Episode, Match
from debate.withdrawal import Withdrawal, mark, marks
from judges.charter.revocation import frozen_weights

if TYPE_CHECKING:
    from debate.scale.run import RayRun

CRITIC = "critic/"
WAVE = 512  # matches in the air at once: large enough to fill batches, small enough for flat memory


@dataclass
class Tally:
    """What was played: episodes, calls of models, tokens that agents sampled, failures by kind."""

    episodes: int = 0
    calls: int = 0
    tokens: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def count(self, episode: Episode) -> None:
        """Adds one episode."""
        self.episodes += 1
        self.calls += sum(turn.cost.calls for turn in episode.transcript.turns)
        self.calls += sum(verdict.cost.calls for verdict in episode.verdicts)
        # What was replayed from another match was called for, and counted, there.
        self.tokens += sum(len(turn.tokens or ()) for turn in episode.transcript.turns if turn.cost.calls)
        if episode.failure is not None:
            self.failures[episode.failure.kind] += 1

    def add(self, other: Tally) -> None:
        """Adds what another tally counted."""
        self.episodes += other.episodes
        self.calls += other.calls
        self.tokens += other.tokens
        self.failures.update(other.failures)

    def state(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "episodes": self.episodes,
            "calls": self.calls,
            "tokens": self.tokens,
            "failures": dict(self.failures),
        }

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Tally:
        """From `state()`."""
        return cls(state["episodes"], state["calls"], state["tokens"], Counter(state["failures"]))


@dataclass
class Session:
    """A run that is open for work.

    Attributes:
        recipe, folder, store: what is done, and where it is kept.
        arenas: by name, in the recipe's order; questions of both splits.
        train_ids, test_ids: arena → question ids.
        cast: every agent.
        credit: agent → what assigns credit to it: baseline, critic, multipliers, plan values.
        population: seat of the main arena → snapshot ids.
        mixture: seat → the meta-strategy over them.
        update: how many updates are done.
        tallies: stage → what it played.
        seconds: of earlier sessions of this run.
        sinks: where the log goes besides log.jsonl.
        admitted: what the recipe admits about its judges, for the report.
        withdrawn: judges that lost their certificate while this run trained.
        stopped: why training ended before its last update; empty where it did not.
        watch: what the alarms remember; None where they are off.
        good: agent → its last version that the guard let pass.
        exploiters: seat → what an exploiter of the last meta-strategy gained.
        player: plays planned matches, in order; in this process, or on Ray.
        ray: where it plays on Ray.
    """

    recipe: Recipe
    folder: RunFolder
    store: Store
    arenas: dict[str, Arena]
    train_ids: dict[str, list[str]]
    test_ids: dict[str, list[str]]
    cast: Cast
    credit: dict[str, CreditAssigner]
    progress: Progress
    population: dict[str, list[str]] = field(default_factory=dict)
    mixture: dict[str, list[float]] = field(default_factory=dict)
    update: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    seconds: float = 0.0
    sinks: list[Sink] = field(default_factory=list)
    admitted: list[str] = field(default_factory=list)
    withdrawn: list[Withdrawal] = field(default_factory=list)
    stopped: str = ""
    watch: Watch | None = None
    good: dict[str, str] = field(default_factory=dict)
    exploiters: dict[str, Any] = field(default_factory=dict)
    player: Player = lambda *what: asyncio.run(play(*what))
    ray: RayRun | None = None
    started: float = field(default_factory=time.monotonic)

    # --- playing -----------------------------------------------------------------------------------------------------

    def play(
        self, stage: str, matches: Iterable[Match], advance: bool = True, cast: Mapping[str, Agent] | None = None
    ) -> Iterator[Episode]:
        """Episodes of planned matches, in order; those already in the store are read, the others played and stored.

        Args:
            stage: where they are tallied.
            matches: all of one arena.
            advance: whether the progress moves by one a match.
            cast: who acts, where it is not simply the run's cast.
        """
        if stage != "train":  # only training is resumed in the middle; other stages are read again from their start
            self.tallies.pop(stage, None)
        tally = self.tallies.setdefault(stage, Tally())
        for wave in waves(matches, WAVE):
            known = {match.id: self.store.get(match.id) for match in wave if match.id in self.store}
            missing = [match for match in wave if match.id not in known]
            if missing:
                arena = self.arenas[missing[0].arena]
                with self.store.unhurt():
                    fresh = self.player(arena, missing, cast or self.cast, self.recipe.seed)
                self.store.put_many(fresh)
                known.update({episode.match.id: episode for episode in fresh})
            for match in wave:
                episode = known[match.id]
                assert episode is not None
                tally.count(episode)
                yield episode
            if advance:
                self.progress.advance(len(wave))

    def training_cast(self) -> Mapping[str, Agent]:
        """The cast as it plays in training: agents that explore pick their plans by their guides."""
        return self.cast.exploring({name: c.guide for name, c in self.credit.items() if c.guide is not None})

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def commit(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Makes one more update durable: its log rows first, then the state that the next update starts from."""
        self.update += 1
        self.folder.log(rows)
        self.save()
        for sink in self.sinks:
            sink.log(rows)

    def save(self) -> None:
        """Writes the checkpoint of where the run stands now; one of the same update is replaced."""
        arrays: dict[str, Any] = {}
        learners: dict[str, Any] = {}
        credit: dict[str, Any] = {}
        for kind, owners, states in (("learner", self.cast.learners, learners), ("credit", self.credit, credit)):
            for name, owner in owners.items():
                values, states[name] = owner.state()
                arrays.update({f"{kind}/{name}/{key}": value for key, value in values.items()})
        state = {
            "learners": learners,
            "credit": credit,
            "population": self.population,
            "mixture": self.mixture,
            "kept": {name: self.cast.kept(name) for name in self.cast.learners},
            "watch": None if self.watch is None else self.watch.state(),
            "good": self.good,
            "tally": self.tallies.get("train", Tally()).state(),
            "seconds": self.seconds + time.monotonic() - self.started,
        }
        self.folder.checkpoints.save(self.update, arrays, state)
        self.folder.checkpoints.prune(keep=2)

    def restore(self) -> None:
        """Brings the newest whole checkpoint back; nothing where there is none."""
        latest = self.folder.checkpoints.latest()
        for warning in latest.warnings:
            self.progress.say(f"warning: {warning}")
        found = latest.checkpoint
        if found is None:
            self.folder.cut_log(-1)
            return
        state = found.state
        assert found.update is not None
        self.update = found.update
        self.folder.cut_log(self.update)
        for name, learner in self.cast.learners.items():
            learner.load_state(_under(found.arrays, f"learner/{name}/"), state["learners"][name])
            self.credit[name].load(_under(found.arrays, f"credit/{name}/"), state["credit"][name])
        self.population = {seat: list(ids) for seat, ids in state["population"].items()}
        self.mixture = {seat: list(p) for seat, p in state["mixture"].items()}
        for name in self.cast.learners:
            for version in state["kept"][name]:
                self.cast.recall(name, version, self.weights_of(f"{name}-v{version}"))
            self.cast.publish(name)
        if self.watch is not None and state["watch"] is not None:
            self.watch.load(state["watch"])
        self.good = dict(state["good"])
        self.tallies["train"] = Tally.load(state["tally"])
        self.seconds = state["seconds"]
        self.progress.say(f"resumed after update {self.update}")

    def check_trust(self) -> list[str]:
        """Whether every judge may pay rewards for the next update; keeps and returns what is admitted about them.

        A judge that lost its certificate after rewards were paid under it is withdrawn, durably and for the rest of
        the run: its criteria weigh 0 (`paying`), its rewards are in quarantine.

        Raises:
            UserError: a judge without a valid certificate that the recipe does not admit, before the first update.
        """
        self.admitted = []
        marked = {(one.arena, one.judge) for one in marks(self.store)}
        # After the last update nobody is paid any more: what counts is whether that one was allowed.
        checkpoint = min(self.update, max(self.recipe.training.updates - 1, 0))
        for spec in self.recipe.arenas:
            judges = self.arenas[spec.name].judges
            if any((spec.name, judge.name) in marked for judge in judges):
                continue
            admitted, withdrawn = check_judges(spec, judges, self.recipe, checkpoint)
            self.admitted += admitted
            for one in withdrawn:
                mark(self.store, one)
                self.progress.say(
                    f"arena {one.arena}: judge {one.judge!r} may not pay any more: {'; '.join(one.reasons)}. "
                    f"{', '.join(one.criteria)} weigh 0 after update {one.update}; rewards from policy checkpoint "
                    f"{one.first} on are in quarantine"
                )
        self.read_marks()
        return self.admitted

    def read_marks(self) -> None:
        """Reads which judges are withdrawn; not those found out after updates that are about to be made again."""
        self.withdrawn = [one for one in marks(self.store) if one.update <= self.update]

    def paying(self, spec: ArenaSpec) -> Recipe:
        """The recipe as it pays in an arena now: weight 0 on every criterion that a withdrawn judge measures there."""
        judged = {c: one.judge for one in self.withdrawn if one.arena == spec.name for c in one.criteria}
        if not judged:
            return self.recipe
        everything = dict.fromkeys(spec.protocol.criteria, 1.0)  # what a fixed agent cares about
        gone = set(judged.values())
        agents = tuple(
            replace(agent, weights=frozen_weights(agent.weights or everything, judged, gone))
            for agent in self.recipe.agents
        )
        return replace(self.recipe, agents=agents)

    def learners(self, spec: ArenaSpec) -> dict[str, str]:
        """Seat → name of the agent that learns there, where anything is left that pays it."""
        recipe = self.paying(spec)
        return {s: a for s, a in recipe.learners(spec).items() if any(recipe.agent(a).weights.values())}

    def frozen(self, spec: ArenaSpec) -> frozenset[str]:
        """The criteria of an arena that pay nothing any more, since the judge that measures them was withdrawn."""
        return frozenset(c for one in self.withdrawn if one.arena == spec.name for c in one.criteria)

    def unpaid(self, spec: ArenaSpec) -> str:
        """Why an arena has no payoffs to solve for any more; empty where every seat still has some."""
        recipe = self.paying(spec)
        seats = [s for s, a in spec.seats.items() if self.withdrawn and not any(recipe.agent(a).weights.values())]
        if not seats:
            return ""
        return f"all that seat {', '.join(seats)} cares about was paid by a judge whose certificate was withdrawn"

    def keep(self, name: str) -> str:
        """Keeps an agent's current version as a snapshot, durably; returns its id."""
        policy, arrays = self.cast.keep(name)
        heads, _ = self.credit[name].state()  # the critic's heads are stored beside the weights they read
        arrays = {**arrays, **{f"{CRITIC}{key}": value for key, value in heads.items()}}
        if policy.id not in self.folder.checkpoints.snapshots():
            self.folder.checkpoints.save_snapshot(policy.id, arrays, {"name": name, "version": policy.version})
        return policy.id

    def weights_of(self, policy: str) -> dict[str, Any]:
        """Name → array of a kept version's weights.

        Raises:
            Damaged: there is no such snapshot, or it is not what was written.
        """
        arrays = self.folder.checkpoints.snapshot(policy).arrays
        return {key: array for key, array in arrays.items() if not key.startswith(CRITIC)}

    @property
    def wall_seconds(self) -> float:
        """Seconds of work so far, earlier sessions included."""
        return self.seconds + time.monotonic() - self.started


def _under(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The arrays whose names begin so, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


@contextmanager
def open_session(
    recipe: Recipe,
    out: Path,
    resume: bool = False,
    progress: Progress | None = None,
    argv: Sequence[str] | None = None,
    scale: ScaleSpec | RayRun | None = None,
) -> Iterator[Session]:
    """Opens a run for work and closes it, whatever happens.

    `scale`: plays and learns on Ray; in the place of another session's run, where it is that one's `ray`.

    Raises:
        UserError: bad data or models; the folder holds another run, or one that `resume` was not given for.
    """
    from debate.data import data_hashes, load_questions
    from debate.provenance import model_hashes

    questions: dict[str, tuple[list[Any], list[Any]]] = {}
    for spec in recipe.arenas:
        train = load_questions(spec.train, recipe.seed) if recipe.training.updates else []
        test = load_questions(spec.test, recipe.seed)
        shared = {q.id for q in train} & {q.id for q in test}
        if shared:
            raise UserError(
                f"arena {spec.name}: question {sorted(shared)[0]!r} is in both the training and the test data"
            )
        questions[spec.name] = train, test
    _check_size(recipe, questions)
    check_audits(recipe, {name: test for name, (_, test) in questions.items()})
    if scale is None:
        _check_devices(recipe)
    data = {
        key: value
        for spec in recipe.arenas
        for part in (spec.train, spec.test)
        for key, value in data_hashes(part).items()
    }
    everything = {name: [*train, *test] for name, (train, test) in questions.items()}
    told = progress or Silent()
    with (
        placed(scale, recipe, everything, told) as ray,  # an address that nobody answers at leaves no folder behind
        (
            folder := RunFolder.create(
                out, recipe.text, recipe.seed, resume, argv, model_hashes(recipe), data, recipe.protocols, recipe.folder
            )
        ).store() as store,
        closing(Cast(recipe, _cache(store), ray.make_engine if ray else None)) as cast,
    ):
        arenas = {
            spec.name: build_arena(spec, everything[spec.name], build_judges(spec, recipe, cast))
            for spec in recipe.arenas
        }
        session = Session(
            recipe,
            folder,
            store,
            arenas,
            {name: [q.id for q in train] for name, (train, _) in questions.items()},
            {name: [q.id for q in test] for name, (_, test) in questions.items()},
            cast,
            {name: credit_assigner(recipe, name) for name in cast.learners},
            told,
            watch=None if recipe.league.alarms is None else Watch(recipe.league.alarms),
        )
        if ray is not None:
            ray.keep_in(store)
            session.ray, session.player = ray, ray.play
        session.restore()
        session.read_marks()
        for line in untrained(recipe):
            session.progress.say(line)
        session.sinks = sinks(recipe.logging, folder)
        try:
            yield session
        finally:
            for sink in session.sinks:
                sink.close()


def _cache(store: Store) -> Any:
    """Completions of costly engines are stored as they come: an interrupted match replays its turns at no cost."""
    from debate.run.cache import CachingCompleter

    return lambda completer, name: CachingCompleter(completer, store, name)


def _check_size(recipe: Recipe, questions: Mapping[str, tuple[Sequence[Any], Sequence[Any]]]) -> None:
    for spec in recipe.arenas:
        train, _ = questions[spec.name]
        if recipe.training.updates and len(train) < recipe.training.groups:
            raise UserError(
                f"arena {spec.name}: an update plays {recipe.training.groups} questions, "
                f"the training data has {len(train)}"
            )


def _check_devices(recipe: Recipe) -> None:
    """Refuses a device or an engine that is not there before a folder is made for the run."""
    check_engines(recipe)
    wanted = {str(agent.options.get("device", "cpu")) for agent in recipe.agents}
    wanted |= {str(judge.options.get("device", "cpu")) for arena in recipe.arenas for judge in arena.judges}
    if wanted != {"cpu"}:
        from debate.engines.local import device_named

        for device in wanted:
            device_named(device)


def live_seats(session: Session, spec: ArenaSpec) -> dict[str, str]:
    """Seat → id of the policy that sits there now."""
    return {seat: session.cast.live[agent].id for seat, agent in spec.seats.items()}
