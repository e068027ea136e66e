"""Collects confirmations, keeps the models, trains and promotes"""
