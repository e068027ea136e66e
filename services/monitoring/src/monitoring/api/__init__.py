"""HTTP: telemetry in, equipment out, and the questions of the broker."""
