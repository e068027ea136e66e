"""Every query of the monitoring service, by what it is about."""
