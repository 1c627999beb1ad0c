"""Ray sessions and resources."""
