"""The Django app of the people."""

from django.apps import AppConfig


class PeopleConfig(AppConfig):
    """Models of the people and their branches."""

    name = "identity.people"
    label = "people"
    verbose_name = "People"
    default_auto_field = "django.db.models.BigAutoField"
