"""What is done to trained weights without training: one file for each method."""
