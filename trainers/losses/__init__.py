"""Losses by name. Every loss maps (logits, targets) to one loss an image, without reduction."""
