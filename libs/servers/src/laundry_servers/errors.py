"""The one error that the command line shows as a message instead of a traceback."""


class LaundryError(Exception):
    """Something the person at the terminal can act on; the message says what to do."""
