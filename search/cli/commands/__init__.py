"""Signatures and help texts of the commands, one module a family; their work is in `cli.handlers`.

Modules here import nothing heavy, so that `foldtune --help` answers at once: a command imports its handler when it
runs.
"""
