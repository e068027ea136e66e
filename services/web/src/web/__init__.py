"""The pages for helpers and owners, and one address in front of the services"""
