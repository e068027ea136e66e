"""How much one caller may ask for: requests by rate, event streams by number."""
