"""Arrays in, arrays out: combine, blend, select, cross-fit, estimate. No files, no Ray."""
