"""Live views, progress and tables of the commands."""
