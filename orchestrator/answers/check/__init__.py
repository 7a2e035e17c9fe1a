"""Whether an engine's folder keeps the contract."""
