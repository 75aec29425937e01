"""The judge side of the command line: judges by name, labelled cases, panels, gauges, attacks and audits."""
