"""Post-processing fitted exactly from stored scores, and the cross-fitted figures that may be reported of it."""
