"""HTTP: the endpoints, who may call them, and what they answer to what goes wrong."""
