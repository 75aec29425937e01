"""Games known from samples: estimation, uncertainty, what to play next."""
