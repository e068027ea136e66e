"""One queue for four types, from which everybody takes what is theirs, beside a queue for each type."""
