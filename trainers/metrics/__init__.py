"""Metrics of each kind of problem."""
