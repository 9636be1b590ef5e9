"""What the numbers mean: paired intervals, means over relations and one verdict per variant."""
