"""Large arrays: read in parts, kept in files, averaged and voted on."""
