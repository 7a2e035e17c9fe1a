"""Which model is measured: found or generated, checked whole, identified."""
