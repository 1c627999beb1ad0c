"""timm networks, heads, frozen layers, weights."""
