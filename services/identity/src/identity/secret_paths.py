"""Keeps what a link is worth out of the log: an invitation's and a password reset's are in their paths."""

import logging
import re

SECRET = re.compile(r"(/invitation/|/password/reset/key/)[^/\s]+")
LOGGERS = ("django.request", "django.security.csrf")


class WithoutSecrets(logging.Filter):
    """Cuts secrets out of the paths that Django logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; every one is logged."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                SECRET.sub(r"\1…", each) if isinstance(each, str) else each for each in record.args
            )
        return True


def keep_out_of_the_log() -> None:
    """Let Django's loggers know; safe to repeat."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, WithoutSecrets) for each in logger.filters):
            logger.addFilter(WithoutSecrets())
