"""How good a trial or an ensemble is on held-out rows: comparison, thresholds, gates, promotion."""
