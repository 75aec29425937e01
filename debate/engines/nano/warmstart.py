"""Makes the nano model's shipped weights: supervised learning of the evidence debate's rules, and of nothing else.

    python -m debate.engines.nano.warmstart [--out FOLDER] [--seed 0]

The target at every move is uniform over the items still hidden (by text: proportional to its hidden copies), so the
model knows which moves are legal and has no strategy; its entropy stays high and learning by reward has all to gain.

1. Draw views of random legal play (`evidence_play`).
2. Minimise cross-entropy against the uniform targets over the whole vocabulary with AdamW, cosine learning rate.
3. Measure the illegal share and the divergence on fresh views; write `nano.safetensors` and `nano.json`.

One thread, seeds for everything: the same machine makes the same bytes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from debate.engines.nano.evidence_play import batch
from debate.engines.nano.model import new_model, state_of
from debate.seeds import derive, generator

STEPS = 700
ROWS = 192
PEAK = 4e-3


def move_logits(model: Any, ids: Any, places: Any) -> Any:
    """Logits [M, vocabulary] at the flat places [M] of ids [rows, length]; the head is applied nowhere else."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    return model.lm_head(hidden.flatten(0, 1)[places])


def train(seed: int, steps: int, report: Any = None) -> Any:
    """The trained model.

    Args:
        seed: of the weights and the data.
        steps: of AdamW, ROWS views each.
        report: called with (step, loss) every 100 steps.
    """
    import torch

    model = new_model(derive(seed, "weights") % 2**31)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps, pct_start=0.1)
    rng = generator(seed, "views")
    model.train()
    for step in range(steps):
        ids, places, targets = map(torch.from_numpy, batch(rng, ROWS))
        logits = move_logits(model, ids, places)
        loss = torch.nn.functional.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if report and (step + 1) % 100 == 0:
            report(step + 1, float(loss.detach()))
    return model.eval()


def measure(model: Any, seed: int, rows: int = 4096) -> dict[str, float]:
    """On fresh views: share of probability on illegal moves among all weights, KL(target ‖ model), entropy (nats)."""
    import torch

    from debate.engines.nano.tokenizer import WEIGHT_0

    ids, places, targets = map(torch.from_numpy, batch(generator(seed, "held-out views"), rows))
    with torch.inference_mode():
        logits = move_logits(model, ids, places)
        among = logits[:, WEIGHT_0:].softmax(-1)
        logp = logits.log_softmax(-1)
        illegal = (among * (targets[:, WEIGHT_0:] == 0)).sum(-1).mean()
        kl = (torch.special.xlogy(targets, targets) - targets * logp).sum(-1).mean()
        entropy = -(logp.exp() * logp).sum(-1).mean()
    return {"illegal": float(illegal), "kl": float(kl), "entropy": float(entropy), "moves": len(places)}


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    import torch
    from safetensors.torch import save

    parser = argparse.ArgumentParser(description="Warm-start the nano model on random legal play.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    start = time.perf_counter()
    model = train(args.seed, args.steps, lambda step, loss: print(f"step {step:5d}  loss {loss:.4f}", flush=True))
    seconds = time.perf_counter() - start
    measured = measure(model, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "nano.safetensors"
    path.write_bytes(save(state_of(model)))
    card = {
        "made_by": f"python -m debate.engines.nano.warmstart --seed {args.seed} --steps {args.steps}",
        "seed": args.seed,
        "steps": args.steps,
        "rows": ROWS,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(seconds, 1),
        "held_out": {key: round(value, 6) for key, value in measured.items()},
        "sha256": sha256(path.read_bytes()).hexdigest(),
    }
    (args.out / "nano.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
