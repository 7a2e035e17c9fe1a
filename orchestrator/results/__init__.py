"""What was measured, over launches and runs."""
