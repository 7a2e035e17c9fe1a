"""From one launch's files to metrics, gates and an outcome."""
