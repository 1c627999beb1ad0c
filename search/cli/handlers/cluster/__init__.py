"""Commands of a Ray cluster: status, check, manifest."""
