"""The sections of the configuration: what `data` holds, and what all sections share."""
