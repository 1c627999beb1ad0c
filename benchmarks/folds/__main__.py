"""`python -m benchmarks.folds`."""

from benchmarks.folds.replay import main

main()
