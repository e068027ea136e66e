"""What every service shares around its domain: settings, logging, HTTP, auth, health, metrics"""
