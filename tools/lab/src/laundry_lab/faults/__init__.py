"""Fault injection on a whole running system, with an external ledger that shows whether anything was lost."""
