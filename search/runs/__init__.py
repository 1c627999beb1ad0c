"""One checked run; groups of runs; look-up by name."""
