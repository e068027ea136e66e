"""Fits the model's last layer again on confirmed examples; runs as a process of its own."""
