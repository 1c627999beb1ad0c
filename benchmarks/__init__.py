"""What foldtune costs beyond the training itself, measured as ratios within one run."""
