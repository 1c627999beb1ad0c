"""Checks of one part of a configuration against the data or the networks, which `search.runs.validation` joins."""
