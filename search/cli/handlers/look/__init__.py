"""Commands that show a run: runs, results, leaderboard, report."""
