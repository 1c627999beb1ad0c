"""One training: data, augmentation, models, losses, loop, tasks, metrics, post-processing and voting. No Ray."""
