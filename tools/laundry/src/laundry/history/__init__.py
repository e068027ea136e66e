"""What has happened, told and told again: the stream of every event, and what became of each."""
