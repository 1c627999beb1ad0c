"""What is doubtful in the data of a search: images, duplicates, labels, columns. Findings only; nothing is dropped."""
