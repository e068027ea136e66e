"""The history: the stream of every event, what became of each, and replaying them."""
