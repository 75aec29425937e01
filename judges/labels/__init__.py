"""Human labels: a ledger that loses and repeats nothing, whom to ask next, and exchange with labelling tools."""
