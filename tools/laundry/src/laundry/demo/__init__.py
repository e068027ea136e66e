"""The demo: a story told live against the running stack, through the addresses that any client has."""
