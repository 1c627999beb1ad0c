"""The run's folder: its names, its parts and their stores."""
