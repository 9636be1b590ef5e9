"""What the numbers tell: paired bootstrap, exact intervals, means over cells and seeds, multiplicity and power."""
