"""More than one machine: rollout workers and learners on Ray. Bases divided over processes: `debate.sharding`."""
