"""Which sign-ins end with a change of the password: all of the person's, in one transaction with it.

Whatever changes it saves the person: the pages, an operator at a shell, the settings of the first operator.
"""

from typing import Any

from django.db.models.signals import post_save, pre_save
from django.dispatch import receiver

from identity.people import repository
from identity.people.models import Person
from identity.people.service.acting import cut_off


@receiver(pre_save, sender=Person)
def end_sign_ins_before(*, instance: Person, **_: Any) -> None:
    """Withdraw codes and refresh tokens before the person is locked, as the exchange of a code does."""
    if _has_other_password(instance) and not instance._state.adding:
        repository.end_sign_ins(instance)


@receiver(post_save, sender=Person)
def end_sign_ins(*, instance: Person, created: bool, **_: Any) -> None:
    """Withdraw what was given meanwhile and refuse access tokens: whoever knew the old password is out."""
    if _has_other_password(instance) and not created:
        repository.end_sign_ins(instance)
        right = instance.right
        cut_off(instance.sub, "customer" if right is None else right.role, repository.clock())


def _has_other_password(person: Person) -> bool:
    # Django's own mark of a new one, until it is saved; a hash that is only made anew does not bear it.
    return person._password is not None  # type: ignore[attr-defined]  # Django's types leave it out
