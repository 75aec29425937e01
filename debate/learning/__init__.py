"""Credit, losses and learners: from judged episodes to better policies.

`samples` → `credit` (with `baselines`, `scalarisers`) → `batch` → `logprobs`, `losses` → `learner`.
Nothing here loads torch on import; the modules that compute with it load it inside their functions.
"""
