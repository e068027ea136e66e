"""New services, made from a template that works."""
