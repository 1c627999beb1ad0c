"""Commands of a search: search, logs, stop."""
