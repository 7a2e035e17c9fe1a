"""What this host and this checkout can and cannot do."""
