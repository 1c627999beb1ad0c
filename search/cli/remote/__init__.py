"""Commands that run as a job on a Ray cluster."""
