"""Trains the shipped model from a folder of photos. Only this needs torch."""
