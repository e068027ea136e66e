"""The broker's plan, for people; and what of a queue only a new one can change."""
