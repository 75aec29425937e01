"""Questions from data sets: one adapter a file, all behind `load_questions`."""

from debate.data.load import ADAPTERS, data_hashes, load_questions

__all__ = ["ADAPTERS", "data_hashes", "load_questions"]
