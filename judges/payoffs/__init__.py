"""Reward rules that read what happened in a match (`Record.acts`), by subject; `judges.rules` lists them by name."""
