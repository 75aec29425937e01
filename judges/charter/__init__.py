"""The charter of judges: gauge, bless, use, audit, revoke. No judge pays rewards on its word alone."""
