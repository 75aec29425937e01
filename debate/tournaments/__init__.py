"""Tournaments of their own: who meets whom, budgets, the standings, and what the judge was worth."""
