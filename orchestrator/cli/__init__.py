"""The command line: parses arguments, calls the other packages, and returns exit codes."""
