"""Self-play dynamics on known games: what regularised learning does, with exact and with sampled payoffs."""
