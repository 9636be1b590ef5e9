"""From a file of a user to a suite and a study: what its columns are, and what should be asked."""
