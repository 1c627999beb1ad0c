"""The YAML file: schema, loading, messages, several targets, secrets, packaging for a cluster."""
