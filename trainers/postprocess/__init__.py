"""Post-processing fitted from stored scores, and the cross-fitted figures that may be reported of it."""
