"""The machine's state while a launch runs."""
