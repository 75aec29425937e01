"""Measurements against peers. Speed is measured here and never asserted in tests."""
