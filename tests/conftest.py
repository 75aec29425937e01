"""Hypothesis draws new examples on every run at a desk, and the same ones in continuous integration (`CI=true`)."""

import os

from hypothesis import settings

settings.register_profile("desk")
settings.register_profile("ci", derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
