"""What runs inside a jail: standard library only, and nothing else of this package."""
