"""Which sign-ins end with a change of the password."""

from typing import Any

from allauth.account.signals import password_changed, password_reset, password_set
from allauth.idp.oidc.models import Token
from django.dispatch import receiver

from identity.people.models import Person


@receiver((password_changed, password_reset, password_set))
def end_sign_ins(*, user: Person, **_: Any) -> None:
    """Withdraw the refresh tokens of somebody whose password changed: whoever knew the old one is out."""
    Token.objects.filter(user=user).delete()
