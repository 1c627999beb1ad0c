"""Dying workers, memory, hangs, a lost head."""
