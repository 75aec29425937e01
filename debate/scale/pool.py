"""The rollout workers of a run: started, told every version, asked, and replaced when they are lost."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from debate.errors import Failed, UserError
from debate.progress import Progress
from debate.run.store import Store
from debate.scale.actors import Dressing, RolloutWorker, WrongPolicy, needed
from debate.scale.cluster import Claim, ScaleSpec, cause_of, lost_errors, nodes, room, threads, words
from debate.scale.desk import Clerk
from debate.scale.weights import as_arrays, digest
from debate.transcript import Episode, Match
from judges.types import Case, Unavailable, Verdict

if TYPE_CHECKING:
    from debate.scale.learners import Group
    from debate.tournaments.budget import Meter

CLOSING = 30.0  # seconds that workers have to end their engines; vLLM takes five
TRIES = 4  # of the same matches, before it must be they that kill workers
Given = TypeVar("Given")
Found = TypeVar("Found")


@dataclass(eq=False)
class _Worker:
    number: int
    handle: Any
    asked: Any = None  # what it was asked last


@dataclass
class _Chunk(Generic[Given]):
    """Work that is in flight together, and where it stands in the plan."""

    start: int
    parts: list[Given]
    tries: int = 0


@dataclass(frozen=True)
class _Words:
    """What a chunk is of, what is done with it, and which one it is."""

    parts: str
    done: str
    first: str


@dataclass
class Counted:
    """What the pool had to put up with: workers lost, matches played again, answers refused."""

    lost: int = 0
    again: int = 0
    refused: int = 0


class Pool:
    """Workers that hold the same versions. Nothing starts before it is needed.

    Attributes:
        spec: how many workers, how long to wait for one.
        groups: the learner actors beside them.
        store: where completions of costly engines are kept; None where workers need not ask.
        meter: what must admit every call, where a run has budgets; it needs the store.
        counted: what was lost.
    """

    def __init__(self, ray: Any, spec: ScaleSpec, claim: Claim, recipe: Any, questions: Any, progress: Progress):
        """Keeps what every worker will be made from.

        Args:
            ray: the module, connected.
            spec: how many workers, how long to wait for room.
            claim: what one worker reserves.
            recipe: the run's.
            questions: arena → its questions.
            progress: told of every loss.
        """
        self._ray, self.spec, self._claim, self._progress = ray, spec, claim, progress
        self._given = (ray.put(recipe), ray.put(questions))
        self._lost_errors = lost_errors(ray)
        self._again_errors: tuple[type[BaseException], ...] = (*self._lost_errors, WrongPolicy)
        self._first: dict[str, str] = {}  # policy → digest of what everybody starts with
        self._published: dict[str, tuple[Any, str]] = {}  # policy → (weights in the object store, digest)
        self._ready: list[_Worker] = []
        self._starting: dict[Any, _Worker] = {}
        self._count = 0
        self._size = 0
        self._clerk: Clerk | None = None
        self.groups: list[Group] = []
        self.store: Store | None = None
        self.meter: Meter | None = None
        self.counted = Counted()

    @property
    def patience(self) -> float:
        """Seconds to wait for room for an actor."""
        return self.spec.patience

    def say(self, line: str) -> None:
        """Tells the run's progress."""
        self._progress.say(line)

    # --- workers -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begins to start everything at once, where it is not there yet: workers, and at first the learners too.

        Raises:
            UserError: not enough resources.
        """
        if self._size:
            return
        self._size = room(nodes(self._ray), self._claim, {str(g): g.claim for g in self.groups}, self.spec.workers)
        if self.store is not None:
            self._clerk = Clerk(self._ray, self.store, self.meter)
        if not self._count:
            for group in sorted(self.groups, key=lambda one: -one.claim.gpus):
                group.start()
                if group.claim.gpus > 1:  # must have its place before workers scatter over the nodes' GPUs
                    group.states()
        for _ in range(self._size):
            self._spawn()
        self._progress.say(f"ray: {self._size} rollout worker(s) with {self._claim}{' each' * (self._size > 1)}")

    def start(self) -> None:
        """Starts the workers, where they are not there yet, and waits for one.

        Raises:
            UserError: not enough resources, or a worker finds no model or no device where it was placed.
        """
        self.begin()
        while not self._ready:
            self._arrive(self._wait(list(self._starting)))

    def rest(self) -> None:
        """Ends every actor; what is asked next starts them again, as they were."""
        for group in self.groups:
            group.stop()
        idle = [one for one in self._ready if one.asked is None or self._ray.wait([one.asked], timeout=0)[0]]
        closing = [worker.handle.close.remote() for worker in idle]  # who is interrupted at work would not hear of it
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=CLOSING)
        for worker in [*self._ready, *self._starting.values()]:
            self._ray.kill(worker.handle)
        if self._clerk is not None:
            self._clerk.stop()
        self._ready, self._starting, self._size, self._clerk = [], {}, 0, None

    def _spawn(self) -> None:
        """Begins to start one worker; it is told every version before anything else can be asked of it."""
        self._count += 1
        actor = self._ray.remote(RolloutWorker)
        handle = actor.options(
            num_cpus=self._claim.cpus, num_gpus=self._claim.gpus, max_restarts=0, scheduling_strategy="SPREAD"
        ).remote(threads())
        worker = _Worker(self._count, handle)
        desk = None if self._clerk is None else self._clerk.desk
        self._starting[handle.setup.remote(*self._given, desk, self._count if self.meter else 0)] = worker
        for policy, (ref, _) in self._published.items():
            handle.publish.remote(policy, ref)  # calls of one caller are done in order

    def _arrive(self, ref: Any) -> None:
        """Takes a worker in that has finished starting, or starts another in its place.

        Raises:
            UserError: it cannot start, or starts with other weights than the others.
        """
        worker = self._starting.pop(ref)
        try:
            held = self._get(ref)
        except self._lost_errors:
            self._replace(worker, "before it was ready")
            return
        self._first = self._first or held
        if held != self._first:
            wrong = sorted(policy for policy in held if held[policy] != self._first.get(policy))
            raise UserError(
                f"--ray: worker {worker.number} starts {', '.join(wrong)} with other weights than the other workers: "
                "give every node the same model files"
            )
        self._ready.append(worker)

    def _replace(self, worker: _Worker, when: str) -> None:
        """Forgets a worker that was lost and starts another.

        Raises:
            Failed: workers are lost again and again.
        """
        self.counted.lost += 1
        self._ready = [one for one in self._ready if one is not worker]
        self._progress.say(f"ray: worker {worker.number} was lost {when}; another one is started")
        if self.counted.lost > TRIES * (self._size + 1):
            raise Failed(f"--ray: {self.counted.lost} workers were lost; the run stops, --resume goes on from here")
        self._ray.kill(worker.handle)  # harmless where it is gone; one that is only cut off must not come back
        if self._clerk is not None:
            self._clerk.lose(worker.number)
        self._spawn()

    def _wait(self, refs: Sequence[Any]) -> Any:
        """The first of some results that is there.

        Raises:
            Failed: nobody is there to work and nobody could be started in time.
        """
        while True:
            also = [] if self._clerk is None else [self._clerk.asked]
            done, _ = self._ray.wait([*refs, *also], num_returns=1, timeout=self.spec.patience)
            if self._clerk is not None and done == [self._clerk.asked]:
                self._clerk.serve()
            elif done:
                return done[0]
            elif all(ref in self._starting for ref in refs):
                raise Failed(
                    f"--ray: no rollout worker could be started within {self.spec.patience:g} s: each needs "
                    f"{self._claim}, the cluster has {words(nodes(self._ray))}; --resume goes on from here"
                )

    def _get(self, ref: Any) -> Any:
        """A result; what was raised on the worker is raised here as it was."""
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error, self._lost_errors):
                raise
            raise cause_of(error) from error

    # --- versions ----------------------------------------------------------------------------------------------------

    def publish(self, policy: str, weights: Mapping[str, Any]) -> None:
        """Puts a version into the object store and sees every worker hold it."""
        arrays = as_arrays(weights)
        self._published[policy] = (self._ray.put(arrays), digest(arrays))
        ref = self._published[policy][0]
        told = [(worker, worker.handle.publish.remote(policy, ref)) for worker in self._ready]
        for worker in self._starting.values():
            worker.handle.publish.remote(policy, ref)
        self._answers(told, f"while it was given {policy}")

    def _answers(self, told: Sequence[tuple[_Worker, Any]], when: str) -> list[Any]:
        """What workers answer, each of those that are not lost meanwhile."""
        found = []
        for worker, ref in told:
            try:
                found.append(self._get(ref))
            except self._lost_errors:
                self._replace(worker, when)
        return found

    def retire(self, policy: str) -> None:
        """Lets every worker drop a version."""
        self._published.pop(policy, None)
        for worker in [*self._ready, *self._starting.values()]:
            worker.handle.forget.remote(policy)

    def published(self) -> list[str]:
        """Versions that every worker holds, beside those it starts with."""
        return list(self._published)

    def wanted(self, policies: set[str]) -> dict[str, str]:
        """Policy → digest of the weights that must speak for it, for those that have weights."""
        known = {**self._first, **{policy: told for policy, (_, told) in self._published.items()}}
        return {policy: known[policy] for policy in sorted(policies) if policy in known}

    def traffic(self, kind: str, model: str, options: Mapping[str, Any]) -> list[Any]:
        """What the engine of these settings counted on each worker that is there."""
        told = [(worker, worker.handle.traffic.remote(kind, model, options)) for worker in self._ready]
        return self._answers(told, "when it was asked what it counted")

    # --- work --------------------------------------------------------------------------------------------------------

    def complete(self, kind: str, model: str, options: Mapping[str, Any], requests: Sequence[Any]) -> Any:
        """One worker's answers to requests outside of matches (a judge alone, exact option probabilities)."""
        for _ in range(TRIES):
            self.start()
            wanted = self.wanted({request.policy for request in requests})
            worker = self._ready[0]
            try:
                worker.asked = worker.handle.complete.remote(kind, model, options, wanted, requests)
                return self._get(worker.asked)
            except self._again_errors:
                self._replace(worker, "while it answered requests, which are asked again")
        raise Failed(f"--ray: {TRIES} workers were lost over the same requests; --resume goes on from here")

    def play(self, arena: str, matches: Sequence[Match], dressing: Dressing, seed: int) -> list[Episode]:
        """Plays matches, a run of them on each worker; episodes come back in the matches' order.

        A worker that is lost costs the matches it had in flight: others play them again. Every move's randomness is
        named by its match, so they come out as they would have.

        Raises:
            Failed: no workers are left, or the same matches lose worker after worker.
            Unavailable: an engine cannot be reached, or a budget is spent.
        """
        self.start()
        wanted, dress = self.wanted(needed(matches)), self._ray.put(dressing)
        return self._spread(
            matches,
            lambda worker, part: worker.handle.play.remote(arena, part, wanted, dress, seed),
            _check,
            _Words("matches", "played", f", from {matches[0].id}"),
        )

    def judge(self, arena: str, place: int, number: int, cases: Sequence[Case]) -> list[Verdict]:
        """Verdicts of an arena's judge without a match, some on each worker (`debate.tournaments.baselines.Asker`).

        Raises:
            Failed, Unavailable: as in `play`.
        """
        self.start()
        return self._spread(
            cases,
            lambda worker, part: worker.handle.judge.remote(arena, place, number, part),
            lambda part, verdicts: None,
            _Words("cases", "judged", ""),
        )

    def _spread(
        self,
        parts: Sequence[Given],
        ask: Callable[[_Worker, list[Given]], Any],
        check: Callable[[Sequence[Given], Sequence[Found]], None],
        named: _Words,
    ) -> list[Found]:
        """Results of work that is cut into a run of parts for each worker, in the parts' order.

        Where an engine cannot be reached or a budget is spent, nothing more is begun; what others have under way may be
        paid for, and is waited for.
        """
        size = math.ceil(len(parts) / self._size)
        waiting = deque(_Chunk(i, list(parts[i : i + size])) for i in range(0, len(parts), size))
        flying: dict[Any, tuple[_Worker, _Chunk[Given]]] = {}
        found: dict[int, Sequence[Found]] = {}
        stopped: Unavailable | None = None
        while flying or (waiting and stopped is None):
            busy = {worker.number for worker, _ in flying.values()}
            for worker in [one for one in self._ready if one.number not in busy]:
                if waiting and stopped is None:
                    chunk = waiting.popleft()
                    worker.asked = ask(worker, chunk.parts)
                    flying[worker.asked] = worker, chunk
            ref = self._wait([*flying, *self._starting])
            if ref in self._starting:
                self._arrive(ref)
                continue
            worker, chunk = flying.pop(ref)
            try:
                results = self._get(ref)
                check(chunk.parts, results)
            except self._again_errors as error:
                self._again(worker, chunk, error, named)
                waiting.appendleft(chunk)
            except Unavailable as reason:
                stopped = stopped or reason
            else:
                found[chunk.start] = results
        if stopped is not None:
            raise stopped
        return [one for start in sorted(found) for one in found[start]]

    def _again(self, worker: _Worker, chunk: _Chunk[Any], error: BaseException, named: _Words) -> None:
        """Counts and tells what happened to a chunk, and replaces the worker that had it."""
        count = len(chunk.parts)
        chunk.tries += 1
        self.counted.again += count
        if chunk.tries >= TRIES:
            raise Failed(
                f"--ray: {chunk.tries} workers were lost over the same {count} {named.parts}{named.first}: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
        if isinstance(error, WrongPolicy):
            self.counted.refused += count
            self._progress.say(f"ray: refused what worker {worker.number} has: {error}")
        self._replace(worker, f"with {count} {named.parts} in flight, which are {named.done} again")


def _check(matches: Sequence[Match], episodes: Sequence[Episode]) -> None:
    """Refuses episodes of other matches or other policies than were asked for."""
    for match, episode in zip(matches, episodes, strict=True):
        spoke = {(t.seat, t.policy) for t in episode.transcript.turns if t.policy}
        wrong = [f"{policy} in {seat}" for seat, policy in sorted(spoke) if match.seats.get(seat, policy) != policy]
        if episode.match.id != match.id or wrong:
            raise WrongPolicy(f"match {match.id}: got {episode.match.id}, {', '.join(wrong) or 'another match'}")
