"""What a service adds to ``laundry_events``: its signing key, what its messages depend on, its start."""
