"""How good the answers are: predictions and metrics."""
