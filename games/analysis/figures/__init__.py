"""The figures of an export: one module each, `draw(analysis) -> Figure`, or `NotApplicable` with the reason."""
