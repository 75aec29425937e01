"""Attacks on judges: what a debater can do to a verdict without arguing better."""
