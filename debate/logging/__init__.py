"""Where the numbers of a run go besides its log.jsonl, which every run has (`RunFolder.log`): TensorBoard, W&B."""

from debate.logging.sink import NAMES, Sink, scalars, sinks

__all__ = ["NAMES", "Sink", "scalars", "sinks"]
