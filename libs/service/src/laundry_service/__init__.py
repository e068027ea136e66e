"""What every service shares around its rules: settings, logging, HTTP, auth, health, metrics"""
