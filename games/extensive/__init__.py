"""Games in extensive form: flattened trees, regret minimisation, sequence form."""
