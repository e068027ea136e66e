"""Use cases: what the service does with telemetry, silence and waiting alerts."""
