"""HTTP: the endpoints, who may call them, and their problem documents."""
