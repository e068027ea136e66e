"""Pushes to owners and customers through FCM"""
