"""The suite's own version: of the package, of `--version` and of every run's record."""

VERSION = "0.1.0"
