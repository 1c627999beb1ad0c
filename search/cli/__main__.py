"""`python -m foldtune.search.cli …` is `foldtune …`: how a job starts where only the code was sent."""

from __future__ import annotations

from foldtune.search.cli.main import main

if __name__ == "__main__":
    main()
