"""What holds a variant near its base while it trains: one file for each method."""
