"""Tables, folds, images and the decoded-image cache: numpy, pandas and Pillow, never torch."""
