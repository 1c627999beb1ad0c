"""The run's folder: names, records, stores, the leaderboard."""
