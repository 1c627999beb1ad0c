"""What runs inside a Ray worker: one trial, one fold model."""
