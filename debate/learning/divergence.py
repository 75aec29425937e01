"""How far a learner's policy is from other weights of the same model, on given rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from debate.learning.batch import TokenBatch
    from debate.learning.learner import PolicyGradientLearner


def divergence(learner: PolicyGradientLearner, batch: TokenBatch, weights: Mapping[str, Any]) -> float:
    """KL(policy ‖ other) in nats a unit, estimated on what the policy itself sampled.

    The k3 estimator r − 1 − log r with r = other / policy (Schulman 2020, "Approximating KL divergence"): unbiased on
    the policy's own samples and never negative.

    Args:
        learner: whose policy sampled the batch; unchanged afterwards.
        batch: rows; advantages do not matter.
        weights: name → array of every trained parameter.

    Raises:
        KeyError: a parameter without weights.
    """
    import torch

    own = learner._reference
    with learner._acting(), torch.no_grad():
        learner.model.eval()
        learner._reference = {n: torch.as_tensor(weights[n], device=learner.device).clone() for n in own}
        try:
            total, count = 0.0, 0
            for step in learner._begin(batch).steps:
                policy = learner._logprobs(step)
                with learner._as_reference():
                    gap = learner._logprobs(step) - policy
                total += float((gap.exp() - 1.0 - gap).double().sum())
                count += len(gap)
        finally:
            learner._reference = own
    return total / count if count else float("nan")
