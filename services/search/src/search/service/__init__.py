"""The use cases: what the service does for those who call it, and beside that."""
