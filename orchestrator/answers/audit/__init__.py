"""Which published speeds the memory bandwidth forbids."""
