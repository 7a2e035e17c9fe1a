"""Words in, exit code out: calls, never computes."""
