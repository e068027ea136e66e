"""The command groups of ``laundry``, one module each."""
