"""Speed of learning: `python -m benchmarks.learning [name …]`."""
