"""Open-loop load and its report: ``laundry load``."""
