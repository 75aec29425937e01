"""Debate protocols: what they are (`spec`), how YAML becomes one (`load`), how they unfold (`kernel`)."""
