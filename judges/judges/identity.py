"""What makes a judge this judge: change any of it and a certificate no longer speaks of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class JudgeIdentity:
    """Seven things a certificate binds; an empty one is not known, and such a judge cannot be certified.

    Attributes:
        model: which model.
        version: which weights of it.
        prompt: which prompt template.
        rubric: hash of the rubric.
        decoding: how answers are drawn and combined.
        parser: how answers are read.
        scale: what the answers mean.
    """

    model: str = ""
    version: str = ""
    prompt: str = ""
    rubric: str = ""
    decoding: str = ""
    parser: str = ""
    scale: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The parts that are not known."""
        return tuple(f.name for f in fields(self) if not getattr(self, f.name))

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of all parts."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def identify(judge: Any) -> JudgeIdentity:
    """The identity that a judge declares in its attribute `identity`; all unknown where it declares none.

    Raises:
        ValueError: parts that are not strings, or that do not exist.
    """
    declared = getattr(judge, "identity", None)
    if declared is None:
        return JudgeIdentity()
    names = {f.name for f in fields(JudgeIdentity)}
    if not set(declared) <= names or not all(isinstance(v, str) for v in declared.values()):
        raise ValueError(
            f"judge {judge.name!r}: identity has the parts {sorted(names)} as strings, got {dict(declared)}"
        )
    return JudgeIdentity(**declared)


def combined_identity(kind: str, members: Iterable[Any], settings: str) -> dict[str, str]:
    """The identity of a judge made of others: unknown wherever a member's is."""
    parts = [identify(member) for member in members]
    known = bool(parts) and not any(p.missing for p in parts)
    if not known:
        return {}
    joined = hashlib.sha256("".join(p.hash for p in parts).encode()).hexdigest()
    scales = "+".join(sorted({p.scale for p in parts}))
    names = "+".join(p.model for p in parts)
    return {
        "model": f"{kind}({names})",
        "version": joined,
        "prompt": "members",
        "rubric": "members",
        "decoding": f"{kind} {settings}",
        "parser": "members",
        "scale": scales,
    }
