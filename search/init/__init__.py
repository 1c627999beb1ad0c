"""A first configuration from the data as they are: what lies there, what it means, and the YAML of it."""
