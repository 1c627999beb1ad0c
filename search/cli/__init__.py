"""The command line: `foldtune …`. Each file holds one group of commands; work is done elsewhere."""

from foldtune.search.cli.main import main

__all__ = ["main"]
