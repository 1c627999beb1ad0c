"""Declarative, conditional search spaces and their Optuna distributions."""
