"""Benchmarks: the design's figures, measured on a running stack and compared with their targets."""
