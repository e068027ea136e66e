"""Where data lies: PostgreSQL, the object store, and how to tell that one of them is away."""
