"""Commands that put a model into use: predict, gate, promote."""
