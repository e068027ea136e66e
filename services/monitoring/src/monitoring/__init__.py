"""Equipment telemetry in, faults out"""
