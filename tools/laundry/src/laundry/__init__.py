"""The laundry command: the local stack, the demo, tokens, dead letters, deployment."""
