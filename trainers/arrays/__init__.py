"""Large arrays: read in parts, spilled to disk, voted."""
