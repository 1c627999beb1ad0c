"""A stored ensemble on new images."""
