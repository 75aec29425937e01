"""Running code that nobody trusts: the program and its tests in two separate jails, results compared as plain data."""
