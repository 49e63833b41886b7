"""Which records there are, as lists and tables, over time, and compared."""
