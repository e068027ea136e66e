"""The first operator, who invites everybody else."""

from allauth.account.models import EmailAddress

from identity.people import repository
from identity.people.models import Person, Role
from identity.people.names import known_as
from identity.people.rights import Right
from identity.settings import Settings
from laundry_service.audit.acts import Act, Actor

BY = Actor("settings", "operator")


def ensure_first_operator(settings: Settings) -> bool:
    """Make the operator that the settings name, as long as there is none at all; returns whether it did.

    There may be none any more, and an account of that address: whoever has the settings gets in with them.
    """
    email, password = settings.first_operator, settings.first_operator_password
    if not email or password is None or repository.operators_for_update():
        return False
    person = Person.objects.filter(email=known_as(email)).first()
    if person is None:
        person = Person.objects.create(
            email=email,
            name=email.partition("@")[0],
            role=Role.OPERATOR,
            password=password.get_secret_value(),
        )
    else:
        person.is_active = True
        person.set_password(password.get_secret_value())
        person.save(update_fields=["is_active", "password"])
        repository.give(person, Right("operator"))
    EmailAddress.objects.get_or_create(
        user=person, email=person.email, defaults={"primary": True, "verified": True}
    )
    act = Act("operator.create", person.sub, BY, via="settings")
    repository.write_audit(act, repository.clock())
    return True
