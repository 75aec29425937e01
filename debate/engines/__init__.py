"""Engines: what answers a `judges.types.Request`. Local ones return token ids and log-probabilities."""
