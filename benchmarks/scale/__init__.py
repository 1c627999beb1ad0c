"""What the driver itself takes: searches whose trials train nothing and replay recorded learning curves."""
