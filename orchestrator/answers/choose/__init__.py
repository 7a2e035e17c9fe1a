"""Which row to take under given limits."""
