"""The figures of the design, measured against a running stack and compared with their targets."""
