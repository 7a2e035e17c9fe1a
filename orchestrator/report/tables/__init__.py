"""The tables that people know, from summary rows."""
