"""Deletes what is over: sessions, tokens, codes."""

from allauth.idp.oidc.models import Token
from django.contrib.sessions.models import Session
from django.utils import timezone

EVERY_S = 3600.0


def delete_what_is_over() -> None:
    """Delete sessions and tokens that ended."""
    Session.objects.filter(expire_date__lt=timezone.now()).delete()
    Token.objects.expired().delete()
