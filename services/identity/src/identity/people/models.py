"""People and branches as they are stored."""

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.core.validators import RegexValidator
from django.db import models

from laundry_service.auth.claims import BRANCH


class Role(models.TextChoices):
    """What somebody is; the claim ``role``. Equipment has no entry here."""

    HELPER = "helper"
    OWNER = "owner"
    CUSTOMER = "customer"
    OPERATOR = "operator"


class Branch(models.Model):
    """A branch of the chain; its id is what tokens, topics and events name."""

    id = models.CharField(
        primary_key=True,
        max_length=40,
        validators=[RegexValidator(BRANCH.pattern, "1 to 40 of a-z, 0-9 and -")],
    )
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "branches"

    def __str__(self) -> str:
        return self.name


class People(BaseUserManager["Person"]):
    """Makes people."""

    def create(self, *, email: str, name: str, role: Role | None, password: str | None = None) -> "Person":
        """Add somebody; without a password they cannot sign in until they have set one."""
        person = self.model(email=self.normalize_email(email).lower(), name=name, role=role)
        person.set_password(password)
        person.save(using=self._db)
        return person


class Person(AbstractBaseUser):
    """Somebody who signs in with an e-mail address; ``id`` is the ``sub`` of their tokens."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=100)
    role = models.CharField(max_length=10, choices=Role.choices, null=True, blank=True)
    branches = models.ManyToManyField(Branch, blank=True, related_name="people")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[People] = People()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        ordering = ["email"]
        verbose_name_plural = "people"

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
