"""What the device can do at most: memory bandwidth and dense matrix products, measured inside the sandbox."""
