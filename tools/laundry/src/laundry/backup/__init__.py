"""Backups of a whole system (databases, broker, objects), and restoring one."""
