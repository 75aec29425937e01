"""Ten thousand matches take no more memory than a thousand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_memory_is_flat_over_ten_thousand_matches():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.tournament", "10000"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=True)
    found = re.search(r"memory: (\d+) MiB after a tenth, (\d+) MiB at the end", done.stdout)
    assert found is not None, done.stdout
    assert int(found[2]) - int(found[1]) < 16
