"""The embedded model: tokenizer, chat format, weights, warm start, and the completer over it."""
