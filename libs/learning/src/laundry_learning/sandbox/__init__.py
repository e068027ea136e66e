"""Confined processes for what strangers made: photos, and the trainer with the model that it gives back.

Such a process has no secret in its environment, and the kernel lets it reach a few folders and no network
(``enter``). The ``worker`` decodes photos and runs models for a run's own process, which holds the secrets
and decodes nothing; ``client`` is that process's side. In a cluster they run in a container of their own
beside the run's in its pod, where ``server`` starts them.
"""
