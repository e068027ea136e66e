"""Fits the model's last layer anew on confirmed examples; runs as a process of its own."""
