"""Every query of the notification service, by what it is about."""
