"""From the cache to batches: augmentation, crops, samplers, mixup, normalisation, test-time views."""
