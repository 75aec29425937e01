"""Debate protocols, agents, learners, league, tournaments."""
