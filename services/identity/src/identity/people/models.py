"""People and branches as they are stored."""

import uuid
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models, transaction

from identity.people.names import MAX_NAME, known_as
from identity.people.rights import PERSON_ROLES, Right
from laundry_service.auth.claims import BRANCH, MAX_SUBJECT

MAX_BRANCH_ID = 40
MAX_EQUIPMENT_ID = 64


class Role(models.TextChoices):
    """What somebody is; the claim ``role``. Equipment has no entry here."""

    HELPER = "helper"
    OWNER = "owner"
    CUSTOMER = "customer"
    OPERATOR = "operator"


class Branch(models.Model):
    """A branch of the chain; its id is what tokens, topics and events name."""

    id: "models.CharField[str, str]" = models.CharField(
        primary_key=True,
        max_length=MAX_BRANCH_ID,
        validators=[RegexValidator(BRANCH.pattern, "1 to 40 of a-z, 0-9 and -")],
    )
    name_ko: "models.CharField[str, str]" = models.CharField(max_length=MAX_NAME)
    name_en: "models.CharField[str, str]" = models.CharField(max_length=MAX_NAME)
    created_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "branches"

    def __str__(self) -> str:
        return self.name_ko


class People(BaseUserManager["Person"]):
    """Makes the rows of people, whose passwords are hashed."""

    def create(  # type: ignore[override]  # nothing else makes a person
        self, *, email: str, name: str, role: Role | None, password: str | None = None
    ) -> "Person":
        """Add somebody; without a password they cannot sign in until they have set one."""
        person = self.model(email=known_as(email), name=name, role=role)
        person.set_password(password)
        person.save(using=self._db)
        return person


class Person(AbstractBaseUser):
    """Somebody who signs in with an e-mail address; ``id`` is the ``sub`` of their tokens."""

    id: "models.UUIDField[uuid.UUID, uuid.UUID]" = models.UUIDField(
        primary_key=True, default=uuid.uuid4, editable=False
    )
    email: "models.EmailField[str, str]" = models.EmailField(unique=True)
    name: "models.CharField[str, str]" = models.CharField(max_length=MAX_NAME)
    # None: no right, or none any more.
    role: "models.CharField[str | None, str | None]" = models.CharField(
        max_length=10, choices=Role.choices, null=True, blank=True
    )
    branches: "models.ManyToManyField[Branch, Any]" = models.ManyToManyField(
        Branch, blank=True, related_name="people"
    )
    is_active: "models.BooleanField[bool, bool]" = models.BooleanField(default=True)
    created_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[People] = People()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        ordering = ["email"]
        verbose_name_plural = "people"
        indexes = [models.Index(fields=["name", "id"], name="people_by_name")]

    @property
    def sub(self) -> str:
        """The subject of their tokens."""
        return str(self.id)

    @property
    def right(self) -> Right | None:
        """What they may do now."""
        if not self.is_active:
            return None
        return _right(self.role, [branch.id for branch in self.branches.all()])

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store it, in one transaction with what a new password ends (``identity.oidc.sign_outs``)."""
        with transaction.atomic():
            super().save(*args, **kwargs)

    def __str__(self) -> str:
        return self.name

    def get_full_name(self) -> str:
        """The name, as Django and allauth ask for it."""
        return self.name

    @property
    def is_staff(self) -> bool:
        """Whether the admin pages are open to them: to operators."""
        return self.is_active and self.role == Role.OPERATOR

    def has_perm(self, _permission: str, _of: Any = None) -> bool:
        """Whether they may do something in the admin pages: operators may do all."""
        return self.is_staff

    def has_module_perms(self, _app: str) -> bool:
        """Whether they see an app in the admin pages."""
        return self.is_staff


class Invitation(models.Model):
    """A link that makes one account, or adds to one. Only a hash of its token is here."""

    id: "models.UUIDField[uuid.UUID, uuid.UUID]" = models.UUIDField(
        primary_key=True, default=uuid.uuid4, editable=False
    )
    token_hash: "models.CharField[str, str]" = models.CharField(max_length=64, unique=True)
    role: "models.CharField[str, str]" = models.CharField(max_length=10, choices=Role.choices)
    branches: "ArrayField[list[str], list[str]]" = ArrayField(
        models.CharField(max_length=MAX_BRANCH_ID), default=list
    )
    note: "models.CharField[str, str]" = models.CharField(max_length=MAX_NAME, blank=True, default="")
    invited_by: "models.CharField[str, str]" = models.CharField(max_length=MAX_SUBJECT)
    created_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()
    expires_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()
    accepted_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(null=True)
    accepted_by: "models.CharField[str, str]" = models.CharField(
        max_length=MAX_SUBJECT, blank=True, default=""
    )
    withdrawn_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["-created_at", "id"],
                name="invitations_open",
                condition=models.Q(accepted_at=None, withdrawn_at=None),
            )
        ]

    @property
    def right(self) -> Right:
        """The right that it gives."""
        right = _right(self.role, self.branches)
        assert right is not None
        return right


class EquipmentCredential(models.Model):
    """What a machine signs in with, by HTTP and MQTT: a client of the OpenID provider."""

    id: "models.UUIDField[uuid.UUID, uuid.UUID]" = models.UUIDField(
        primary_key=True, default=uuid.uuid4, editable=False
    )
    equipment_id: "models.CharField[str, str]" = models.CharField(max_length=MAX_EQUIPMENT_ID)
    branch_id: "models.CharField[str, str]" = models.CharField(max_length=MAX_BRANCH_ID)
    client_id: "models.CharField[str, str]" = models.CharField(max_length=100, unique=True)
    created_by: "models.CharField[str, str]" = models.CharField(max_length=MAX_SUBJECT)
    created_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()
    rotated_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(null=True)
    revoked_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["branch_id", "equipment_id"],
                condition=models.Q(revoked_at=None),
                name="one_credential_of_a_machine",
            )
        ]


class Denial(models.Model):
    """Tokens of a subject from before a moment are refused; it is kept until the last of them is over."""

    sub: "models.CharField[str, str]" = models.CharField(max_length=MAX_SUBJECT)
    issued_before: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()
    until: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(db_index=True)


def _right(role: str | None, branches: list[str]) -> Right | None:
    for each in PERSON_ROLES:
        if each == role:
            return Right(each, frozenset(branches))
    return None
