"""The charts of report.html and of `report --format svg`."""
