"""Commands that make one model of many: thresholds, ensemble, compare, score."""
