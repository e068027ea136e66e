"""HTTP: devices and the history."""
