"""Verifiers: answers checked by code, where code can check them. Each returns a `Verification`, never a bare bool."""
