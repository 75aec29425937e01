"""`debate learn`: other ways of learning, from what a run has stored."""
