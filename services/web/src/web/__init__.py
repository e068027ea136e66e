"""The pages, and one address in front of the services"""
