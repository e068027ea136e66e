"""A full run: the whole network is fine-tuned on the training photos and the corrections, in minutes.

The job (``python -m mlops.full``) does everything that needs the servers and never imports torch; the
trainer (``laundry_training.tune``) is a process of its own that knows a folder and nothing else.
"""
