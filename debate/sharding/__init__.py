"""Learners of a policy that does not fit one device: processes of their own, each with a share of the base model.

`processes` starts and watches them, `rank` is what one of them does, `base` is the sharded model, `learners` what the
rest of a run sees: learners like all others. Adapters, optimiser and bookkeeping are the same in every process; the
base is divided, and so are the rows of a batch (`debate.learning.team`).
"""
