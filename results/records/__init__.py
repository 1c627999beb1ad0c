"""What the small files of a run hold: typed records, their order, and the leaderboard that is made of them."""
