"""Use cases: keeping the registry of models, running training runs, and retraining when it is due."""
