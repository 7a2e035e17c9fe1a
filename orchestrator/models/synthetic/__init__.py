"""Models with seeded random weights."""
