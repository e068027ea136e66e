"""Tastes and preferences, matched"""
