"""The run on disk: records, store, leaderboard, tables and submissions."""
