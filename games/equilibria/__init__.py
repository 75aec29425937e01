"""Equilibrium solvers for games in normal form, one algorithm a file."""
