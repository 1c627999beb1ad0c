"""Tables, labels and folds: numpy and pandas, never torch."""
