"""What is done for people, for operators and for the token endpoint, each in one transaction."""
