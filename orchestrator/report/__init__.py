"""Results as text, tables, charts and a page."""
