"""Kinds of problem, one file each, behind the protocol of :mod:`trainers.tasks.base`."""
