"""The commands that the lab adds to ``laundry``, one module each."""
