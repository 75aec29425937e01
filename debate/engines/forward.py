"""A causal language model as two calls, `prefill` and `extend`, with the head applied only where it is asked for.

Rows are padded on the right. A prefill needs no mask (causal attention never looks right); what extends it sees the
padding as a gap in the cache, masked explicitly, with position ids that do not count it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from debate.errors import UserError

if TYPE_CHECKING:
    import torch


class Forward:
    """One causal language model, ready to be stepped.

    Args:
        model: a transformers `…ForCausalLM`.

    Raises:
        UserError: the model changes its logits after the head in a way not known here.
    """

    def __init__(self, model: Any) -> None:
        self.trunk = model.base_model
        self._head = model.get_output_embeddings()
        text = model.config.get_text_config()
        self._cap = getattr(text, "final_logit_softcapping", None)
        self._scale = getattr(text, "logit_scale", None) or 1.0 / (getattr(text, "logits_scaling", None) or 1.0)
        self.device = next(model.parameters()).device
        window = getattr(text, "sliding_window", None) if getattr(text, "use_sliding_window", True) else None
        # a window counts the gaps that padding leaves in a cache, so no more than half of it is promised
        self.context = min(int(text.max_position_embeddings), int(window or 1 << 62) // 2)

    def probe(self, model: Any) -> None:
        """Checks once, on three tokens, that the parts used here together give the model's own logits.

        Raises:
            UserError: they do not, or what the model remembers is not keys and values that rows can be picked from.
        """
        import torch

        name = type(model).__name__
        with torch.inference_mode():
            ids = torch.tensor([[1, 2, 3]], device=self.device)
            own = model(input_ids=ids, use_cache=False).logits.float()
            hidden, _ = self.prefill(ids, cache=False)
            if not torch.allclose(own, self.logits(hidden), atol=1e-3, rtol=1e-3):
                raise UserError(f"{name} changes its logits after the head in an unknown way")
            _, cache = self.prefill(ids[:, [0, 1, 0]])  # the third id stands for padding
            if not all(torch.is_tensor(getattr(layer, "keys", None)) for layer in getattr(cache, "layers", [None])):
                raise UserError(f"{name} remembers something other than keys and values; this engine cannot step it")
            mask, place = torch.tensor([[1, 1, 0, 1]], device=self.device), torch.tensor([[2]], device=self.device)
            hidden = self.extend(ids[:, 2:], select(cache, torch.tensor([0], device=self.device)), mask, place)
            gap = (self.logits(hidden[:, 0]).log_softmax(-1) - own[:, 2].log_softmax(-1)).abs().mean()
            if not gap < (1e-3 if hidden.dtype == torch.float32 else 0.2):
                raise UserError(f"{name} gives other logits step by step than at once (mean difference {gap:.3g})")

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Float32 logits [..., V] of hidden states [..., D]."""
        logits: torch.Tensor = self._head(hidden).float()
        if self._scale != 1.0:
            logits = logits * self._scale
        if self._cap:
            logits = (logits / self._cap).tanh() * self._cap
        return logits

    def prefill(self, ids: torch.Tensor, cache: bool = True) -> tuple[torch.Tensor, Any]:
        """Reads rows padded on the right.

        Args:
            ids: [R, L].
            cache: whether a cache is wanted.

        Returns:
            hidden states [R, L, D], and the cache or None.
        """
        out = self.trunk(input_ids=ids, use_cache=cache)
        return out.last_hidden_state, out.past_key_values

    def extend(self, ids: torch.Tensor, cache: Any, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Reads further tokens onto a cache, which grows in place.

        Args:
            ids: [R, m].
            cache: of K tokens.
            mask: [R, K + m] 1 where a token counts.
            positions: [R, m] of the new tokens, padding not counted.

        Returns:
            hidden states [R, m, D].
        """
        out = self.trunk(
            input_ids=ids, past_key_values=cache, attention_mask=mask, position_ids=positions, use_cache=True
        )
        states: torch.Tensor = out.last_hidden_state
        return states


def select(cache: Any, rows: torch.Tensor) -> Any:
    """A copy of a cache with these rows [R'], in this order (a row may repeat)."""
    from transformers import DynamicCache

    chosen = DynamicCache()
    for layer, source in enumerate(cache.layers):
        chosen.update(source.keys[rows], source.values[rows], layer)
    return chosen
