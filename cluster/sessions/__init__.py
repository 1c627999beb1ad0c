"""Ray sessions: an embedded Ray that is private to its process, or a running cluster, and what ended sessions left."""
