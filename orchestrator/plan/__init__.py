"""What is measured, decided before anything runs."""
