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
        self.context = min(int(text.max_position_embeddings), int(window or 1 << 62))

    def probe(self, model: Any) -> None:
        """Checks once that head and trunk together give the model's own logits.

        Raises:
            UserError: they do not.
        """
        import torch

        with torch.inference_mode():
            ids = torch.tensor([[1, 2, 3]], device=self.device)
            own = model(input_ids=ids, use_cache=False).logits.float()
            hidden, _ = self.prefill(ids, cache=False)
            if not torch.allclose(own, self.logits(hidden), atol=1e-3, rtol=1e-3):
                raise UserError(f"{type(model).__name__} changes its logits after the head in an unknown way")

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
