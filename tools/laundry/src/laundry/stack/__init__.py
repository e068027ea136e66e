"""The local stack: every server and every service, supervised."""
