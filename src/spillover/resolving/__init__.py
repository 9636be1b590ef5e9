"""What the names of a study file mean: its cells, and the models that are asked."""
