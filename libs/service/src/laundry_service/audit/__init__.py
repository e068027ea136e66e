"""Who did what, when and why: a table that a service's own login can only add to, chained by hashes.

``acts`` says what a record tells and ``writing`` adds it, ``chain`` checks hashes, ``table`` makes the table,
``http`` shows it. Only ``writing`` and ``http`` need SQLAlchemy, so that who has none stays small.
"""
