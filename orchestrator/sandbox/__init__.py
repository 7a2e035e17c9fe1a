"""Running one task in isolation, and saying how it ended."""
