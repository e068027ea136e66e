"""The broker's plan for people to read, and recreating queues whose arguments cannot change."""
