"""The host's side: plans, runs, judges and reports measurements. See docs/inside/architecture.md."""
