"""Who may use which Ray: addresses as users write them, tokens, and the servers that get one."""
