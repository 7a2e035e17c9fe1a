"""Small helpers of launches and engines: result files, log-softmax, cache sizes, installed packages."""
