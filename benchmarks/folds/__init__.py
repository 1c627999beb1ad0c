"""On how many folds a search should judge its trials: recorded trainings, and policies replayed on them."""
