"""Deletes what is over: sessions, tokens, codes, counts of failed sign-ins."""

from allauth.idp.oidc.models import Token
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from identity.configuration import COUNTS_TABLE

EVERY_S = 3600.0
# Whoever writes a count first counts them all.
COUNTS_EVERY_S = 60.0
COUNTS_OVER = f"DELETE FROM {COUNTS_TABLE} WHERE expires < now()"  # noqa: S608


def delete_what_is_over() -> None:
    """Delete sessions and tokens that ended."""
    Session.objects.filter(expire_date__lt=timezone.now()).delete()
    Token.objects.expired().delete()


def delete_counts_that_are_over() -> None:
    """Delete counts that lock nobody any more."""
    with connection.cursor() as cursor:
        cursor.execute(COUNTS_OVER)
