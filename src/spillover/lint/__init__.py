"""Faults of a protocol found before compute is spent: in rows, token ids, metrics and the size of the test."""
