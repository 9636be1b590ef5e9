"""How a model learns: recipes and the one training loop."""
