"""What runs, once: steps with content keys, their store and their runner."""
