"""From the best trials to the submission: candidates, racing, fold training, build."""
