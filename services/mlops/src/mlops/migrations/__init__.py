"""Migrations of the MLOps database."""
