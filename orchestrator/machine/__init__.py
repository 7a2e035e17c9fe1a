"""What this host is, has and does."""
