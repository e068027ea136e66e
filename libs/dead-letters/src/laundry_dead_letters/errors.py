"""Errors that a person can act on."""


class DeadLetterError(Exception):
    """The message says what is wrong and what to do."""


class BrokerAway(DeadLetterError):
    """No broker answers; try again later."""
