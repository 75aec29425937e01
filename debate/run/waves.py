"""Plans cut into waves: enough matches at once to fill batches, few enough for flat memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from debate.transcript import Match


def waves(matches: Iterable[Match], size: int) -> Iterator[list[Match]]:
    """The matches in lists of at most `size`, as they come."""
    wave: list[Match] = []
    for match in matches:
        wave.append(match)
        if len(wave) == size:
            yield wave
            wave = []
    if wave:
        yield wave
