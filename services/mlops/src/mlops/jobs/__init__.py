"""What the process of any training run does, whichever kind it is."""
