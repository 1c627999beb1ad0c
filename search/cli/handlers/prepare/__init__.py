"""Commands before a search: validate, preview, data."""
