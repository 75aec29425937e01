"""TRL's fused head in the place of our chunked one, where it can be used: log-probabilities without logits.

It has a Triton kernel on CUDA. `trl.trainer.utils.add_fused_lm_head` is not a public interface of TRL, so whatever is
missing or has moved means that our own head is used. The patch goes on the base model itself, never on PEFT's wrapper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from debate.learning.logprobs import BatchTensors

MARK = "_fused_head_temperature"


def fuse_head(model: Any, temperature: float) -> bool:
    """Gives the model a fused head of that temperature, once; False where TRL has none.

    Generation and every other call of the model are unchanged.
    """
    if getattr(model, MARK, None) == temperature:
        return True
    try:
        from trl.trainer.utils import add_fused_lm_head
    except ImportError:
        return False
    if hasattr(model, MARK):
        del model.forward
    try:
        add_fused_lm_head(model, temperature=temperature, outputs=("log_probs", "entropy"))
    except TypeError:  # other parameters than those of TRL 1.16
        return False
    setattr(model, MARK, temperature)
    return True


def fits(tensors: BatchTensors) -> bool:
    """Whether one label a position says all: no picks, and no state that several rows go on from."""
    return not len(tensors.pick_choice) and len(tensors.term_source) == len(tensors.sources)


def fused_scores(model: Any, tensors: BatchTensors) -> tuple[Tensor, Tensor]:
    """Log-probabilities of terms and entropies of sources, both [Z], through the fused head."""
    labels = tensors.ids.new_full((tensors.ids.numel(),), -100)
    labels[tensors.sources] = tensors.term_target
    output = model(
        input_ids=tensors.ids,
        attention_mask=tensors.attention,
        position_ids=tensors.positions,
        shift_labels=labels.view(tensors.ids.shape),
        fused_lm_head=True,
    )
    return output.log_probs.reshape(-1)[tensors.sources], output.entropy.reshape(-1)[tensors.sources]
