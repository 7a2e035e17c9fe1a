"""Every metric of a row, declared once."""
