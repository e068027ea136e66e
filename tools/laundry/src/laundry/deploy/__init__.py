"""Containers and clusters: what Compose needs to start, and whether the deployment files are in order."""
