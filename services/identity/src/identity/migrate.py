"""Brings the database up to date: ``python -m laundry_service.migrate identity``."""

import secrets

from django.core.management import call_command
from django.db import connections

from identity.configuration import configure, database
from identity.settings import Settings
from laundry_service.auth.rsa_keys import new_key


def upgrade(database_url: str) -> None:
    """Run Django's migrations as the login of the address, which then owns the tables."""
    # Nothing is signed or sent while tables are made.
    given = dict.fromkeys(("jwks_url", "jwt_issuer", "public_url", "web_urls"), "http://localhost")
    given |= dict.fromkeys(("oidc_client_secret", "secret_keys"), secrets.token_urlsafe(32))
    given["signing_keys"] = new_key()
    configure(Settings.model_validate({**given, "database_url": database_url}))
    connection = connections["default"]
    connection.close()
    # In place: Django may have been configured for another database before, by a test.
    connections.settings["default"].update(database(database_url))
    try:
        call_command("migrate", interactive=False, verbosity=0)
        # Counts of failed sign-ins, which all replicas share.
        call_command("createcachetable", verbosity=0)
    finally:
        connection.close()
