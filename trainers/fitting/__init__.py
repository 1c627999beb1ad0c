"""One training: the epoch, evaluation, checkpoints, several processes."""
