"""Experiments: a task, seeds and measures fixed in advance; one figure and one table with intervals each."""
