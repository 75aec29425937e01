"""More than one process: rollout workers and learners on Ray, and policies whose weights are sharded."""
