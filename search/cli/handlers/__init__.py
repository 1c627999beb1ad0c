"""What each command does, one module a command or two: reads, calls the part that does the work, prints the result."""
