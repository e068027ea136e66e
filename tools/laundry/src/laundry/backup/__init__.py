"""Backups of a whole system (databases, broker, objects), and coming back from one."""
