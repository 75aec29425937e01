"""Deterministic simulation of whole tournaments under faults: one seed, one run, whatever goes wrong in it."""
