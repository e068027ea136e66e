"""What an operator sees of the queues and does about dead letters."""
