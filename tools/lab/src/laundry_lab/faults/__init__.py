"""Faults done to a whole running system, and a ledger outside it that tells whether anything was lost."""
