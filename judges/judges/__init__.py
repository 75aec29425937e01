"""The kinds of judges: each is called with a `Case` and awaits a `Verdict`."""
