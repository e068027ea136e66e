"""Checks that a person or a schedule makes of a broker and of a whole stack."""
