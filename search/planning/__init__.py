"""Time: what is left, what things cost, what gives way. Pure arithmetic: no Ray, no files, nothing printed."""
