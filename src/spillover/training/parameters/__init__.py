"""Which weights a variant trains: one file for each choice."""
