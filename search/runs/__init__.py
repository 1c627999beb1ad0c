"""One checked run and its data; groups of runs; look-up by name."""
