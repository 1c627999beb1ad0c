"""A trained network on images."""
