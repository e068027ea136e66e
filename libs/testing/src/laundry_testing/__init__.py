"""The pytest plugin that finds or starts real servers"""
