"""Ratings and rankings of strategies."""
