"""What knows nothing of benchmarks: errors, files, text, statistics."""
