"""The use cases and background tasks: everything that changes data."""
