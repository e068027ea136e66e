"""Use cases: storing what users are to be told, and pushing it."""
