"""Vector payoffs: Pareto fronts, SER and ESR equilibria, preference weights."""
