"""Metrics that a run brings along: a matrix of costs, and a function of the user's own."""
