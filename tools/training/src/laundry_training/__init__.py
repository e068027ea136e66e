"""Trains the shipped reading model from a folder of photos. Only this needs torch, and only when run."""
