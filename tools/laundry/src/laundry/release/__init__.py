"""Cuts a release: versions, changelog, chart, images, and what says of what they are made."""
