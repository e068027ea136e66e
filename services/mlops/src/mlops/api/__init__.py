"""HTTP: the endpoints of models, training runs, examples and replicas."""
