"""From what was said to rewards: cases, verdicts, judges, verifiers, statistics."""
