"""`python -m foldtune` is the command `foldtune`."""

from foldtune.search.cli.main import main

if __name__ == "__main__":
    main()
