"""Where a training run's process lives: beside the service, or as a Job of the cluster."""
