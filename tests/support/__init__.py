"""What several tests need: machines, checkpoints, results directories, a hub and a browser, by full name."""
