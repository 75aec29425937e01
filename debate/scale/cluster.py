"""The connection to Ray: what was asked for, what is there, and clear words where the two do not fit."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from debate.errors import Failed, UserError
from debate.recipe import Recipe

if TYPE_CHECKING:
    from debate.progress import Progress
    from debate.scale.run import RayRun

REACH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ScaleSpec:
    """How a run is spread.

    Attributes:
        address: "local" for a Ray of this run's own on this machine, else host:port of a cluster, or "auto".
        workers: rollout workers; 0: as many as there is room for.
        patience: seconds to wait for an actor to have room and to start; on a busy machine that takes minutes.
    """

    address: str = "local"
    workers: int = 0
    patience: float = 300.0


def scale_of(address: str, workers: int) -> ScaleSpec | None:
    """What `--ray` and `--ray-workers` ask for; None without them.

    Raises:
        UserError: a number of workers below 0, or one without an address.
    """
    if workers < 0 or (workers and not address):
        raise UserError(f"--ray-workers: expected a number above 0 together with --ray, got {workers}")
    return ScaleSpec(address, workers) if address else None


def placed(
    scale: ScaleSpec | RayRun | None,
    recipe: Recipe,
    questions: Mapping[str, Sequence[Any]],
    progress: Progress,
    learns: bool = True,
) -> AbstractContextManager[RayRun | None]:
    """Where a run works: its workers and learners on Ray (`debate.scale.run.on_ray`); None for this process."""
    if scale is None:
        return nullcontext()
    from debate.scale.run import on_ray

    return on_ray(scale, recipe, questions, progress, learns)


@dataclass(frozen=True, slots=True)
class Claim:
    """What an actor reserves: CPUs, GPUs."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        """In words."""
        return f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")


def threads() -> int:
    """Compute threads of every actor: what OMP_NUM_THREADS says, else 1. Results on a CPU can depend on it."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isascii() and said.isdigit() and int(said) > 0 else 1


def worker_claim(recipe: Recipe) -> Claim:
    """What one rollout worker needs: GPUs where an engine of the recipe runs on one."""
    options = [a.options for a in recipe.agents if a.speaks]
    options += [dict(j.options) for arena in recipe.arenas for j in arena.judges]
    gpus = max((int(o.get("gpus") or 1) for o in options if o.get("device") == "cuda"), default=0)
    return Claim(threads(), gpus)


def learner_claim(options: Any) -> Claim:
    """What the learner of one device group needs: a GPU for each process where it trains on GPUs."""
    processes = int(options.get("shard", 1))
    return Claim(threads() * processes, processes if options.get("device") == "cuda" else 0)


def nodes(ray: Any) -> list[Claim]:
    """What each node of the cluster has."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Claim(there.get("CPU", 0.0), there.get("GPU", 0.0)) for there in alive]


def words(cluster: Sequence[Claim]) -> str:
    """What a cluster has: "3 nodes with 4 CPU and 1 GPU, 4 CPU and 1 GPU, 2 CPU"."""
    return f"{len(cluster)} node(s) with {', '.join(map(str, cluster)) or 'nothing'}"


def room(cluster: Sequence[Claim], claim: Claim, learners: Mapping[str, Claim], wanted: int) -> int:
    """How many rollout workers there are to be, beside the learners. An actor lives on one node.

    Args:
        cluster: what each node has.
        claim: of one worker.
        learners: claim of each learner actor, by its name.
        wanted: workers asked for; 0: as many as there is room for.

    Raises:
        UserError: not enough is there, with what is and what would be needed.
    """
    left = [[node.cpus, node.gpus] for node in cluster]
    homeless = []
    for name, own in sorted(learners.items(), key=lambda item: (-item[1].gpus, -item[1].cpus, item[0])):
        fitting = [node for node in left if node[0] >= own.cpus and node[1] >= own.gpus]
        if not fitting:
            homeless.append(name)
            continue
        tightest = min(fitting, key=lambda node: (node[1], node[0]))
        tightest[0] -= own.cpus
        tightest[1] -= own.gpus
    most = sum(math.floor(min(c / claim.cpus, g / claim.gpus if claim.gpus else math.inf)) for c, g in left)
    if homeless or most < max(wanted, 1):
        needed = [f"{max(wanted, 1)} rollout worker(s) of {claim} each"]
        needed += [f"the {name} of {own}" for name, own in learners.items()]
        raise UserError(f"--ray: not enough resources: {', '.join(needed)} do not fit into {words(cluster)}")
    return wanted or most


def beside_driver(ray: Any) -> dict[str, Any]:
    """Options that place an actor on the driver's own node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False)}


@contextmanager
def connected(spec: ScaleSpec, learners: int) -> Iterator[Any]:
    """The module `ray`, connected; a Ray of our own is stopped at the end, a cluster is left as it was.

    Args:
        spec: where to.
        learners: most learner actors there will be, for which a Ray of our own makes room.

    Raises:
        UserError: Ray is not installed, or nothing answers at the address.
    """
    if find_spec("ray") is None:
        raise UserError("--ray needs the package ray: pip install 'debate-trainer[ray]'")
    # Nothing about a run is sent anywhere; a GPU that an actor did not reserve stays out of its sight.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    import ray

    if ray.is_initialized():
        raise UserError("--ray: this process is connected to a Ray cluster already; leave it (ray.shutdown()) first")
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    if spec.address == "local":
        workers = spec.workers or len(os.sched_getaffinity(0))
        cpus = threads() * (workers + learners)
        ray.init(address="local", num_cpus=cpus, **quiet)
    else:
        _reach(spec.address)
        quiet.pop("include_dashboard")
        try:
            ray.init(address=spec.address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"--ray {spec.address}: no Ray cluster there that lets this process in (RAY_AUTH_MODE must be the same "
                f"as where it was started): {' '.join(str(error).split())[:300]}"
            ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Refuses an address at which nothing listens, at once; Ray itself would try for minutes."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit()) or "/" in host:
        raise UserError(f"--ray: expected local, auto or HOST:PORT (as printed by `ray start --head`), got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--ray {address}: nothing answers there ({error}); start one with `ray start --head`"
        ) from error


def lost_errors(ray: Any) -> tuple[type[BaseException], ...]:
    """What says that an actor, its node or what it returned is gone."""
    found = ray.exceptions
    return (
        found.RayActorError,
        found.ObjectLostError,
        found.OwnerDiedError,
        found.WorkerCrashedError,
        found.NodeDiedError,
    )


def cause_of(error: Any) -> BaseException:
    """What an actor's method raised, as it was raised there."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else Failed(f"on a Ray worker: {error}")
