"""Rows, labels, columns, folds and decoded images of one configuration."""
