"""The commands, one file each, in families."""
