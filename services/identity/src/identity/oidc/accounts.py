"""What allauth's sign-in pages ask of us."""

import threading
from types import SimpleNamespace
from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.core.mail import EmailMessage
from django.http import HttpRequest

from identity.people.models import Person
from identity.texts import TEXTS, language

log = structlog.get_logger(__name__)


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are made by invitation only."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up by themselves."""
        return False

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Say nothing: the pages that follow say enough."""

    def set_password(self, user: Person, password: str) -> None:
        """Store a new password, and nothing else that was read with it: a right may be gone meanwhile."""
        user.set_password(password)
        user.save(update_fields=["password"])

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send beside the answer, whose time would tell who has an account here."""
        # Whom it is from, as allauth's texts ask for it.
        site = SimpleNamespace(name=TEXTS[language()]["name"], domain=settings.ALLOWED_HOSTS[0])
        message = self.render_mail(template_prefix, email, {"email": email, "current_site": site, **context})
        threading.Thread(target=_send, args=(message,), name="mail").start()


def _send(message: EmailMessage) -> None:
    try:
        message.send()
    except Exception as error:
        log.exception("a mail could not be sent", error=type(error).__name__)
