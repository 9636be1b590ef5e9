"""Where finished steps live, and what identifies them."""
