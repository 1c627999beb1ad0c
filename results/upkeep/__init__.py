"""Runs that pile up: their sizes, notes, archives and removal, and what protects them."""
