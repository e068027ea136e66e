"""The first operator, who invites everybody else."""

from allauth.account.models import EmailAddress

from identity.people import repository
from identity.people.models import Person, Role
from identity.settings import Settings
from laundry_service.audit.acts import Act, Actor

BY = Actor("settings", "operator")


def ensure_first_operator(settings: Settings) -> bool:
    """Make the operator that the settings name, as long as there is none at all; returns whether it did."""
    email, password = settings.first_operator, settings.first_operator_password
    if not email or password is None or Person.objects.filter(role=Role.OPERATOR).exists():
        return False
    person = Person.objects.create(
        email=email, name=email.partition("@")[0], role=Role.OPERATOR, password=password.get_secret_value()
    )
    EmailAddress.objects.create(user=person, email=person.email, primary=True, verified=True)
    act = Act("operator.create", person.sub, BY, via="settings")
    repository.write_audit(act, repository.clock())
    return True
