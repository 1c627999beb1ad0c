"""What a run writes for others: submissions, contact sheets, annotated images."""
