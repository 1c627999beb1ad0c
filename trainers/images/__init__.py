"""Images as a training sees them: files found, decoded at their working size, kept in a cache that a node shares."""
