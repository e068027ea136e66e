"""Designs and libraries that were not chosen, measured beside those that were."""
