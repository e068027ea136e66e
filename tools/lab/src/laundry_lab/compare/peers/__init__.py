"""Compares the library with what people would take instead: one task, one effect, measured alike."""
