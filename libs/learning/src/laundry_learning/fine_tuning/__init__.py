"""Fine-tuning of the whole network: what a run and its trainer agree on, and how it goes."""
