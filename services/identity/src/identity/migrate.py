"""Brings the database up to date: ``python -m laundry_service.migrate identity``.

In a process of its own: Django is configured once in a process, and here with nothing but the database.
"""

import os
import secrets
import subprocess
import sys

from django.core.management import call_command

from identity.configuration import configure
from identity.settings import Settings
from laundry_service.auth.rsa_keys import new_key

URL = "LAUNDRY_DATABASE_URL"
SECONDS = 300.0


def upgrade(database_url: str) -> None:
    """Run Django's migrations as the login of the address, which then owns the tables.

    Raises:
        RuntimeError: with what the process said, which holds no password.
    """
    done = subprocess.run(
        [sys.executable, "-m", "identity.migrate"],
        env={**os.environ, URL: database_url},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the migrations failed:\n{done.stderr.strip()[-2000:]}")


def main() -> None:
    """Migrate the database that the environment names."""
    # Nothing is signed or sent while tables are made.
    given = dict.fromkeys(("jwks_url", "jwt_issuer", "public_url", "web_urls"), "http://localhost")
    given |= dict.fromkeys(("oidc_client_secret", "secret_keys"), secrets.token_urlsafe(32))
    given |= {"signing_keys": new_key(), "amqp_url": "amqp://localhost"}
    configure(Settings.model_validate({**given, "database_url": os.environ[URL]}))
    call_command("migrate", interactive=False, verbosity=0)
    # Counts of failed sign-ins, which all replicas share.
    call_command("createcachetable", verbosity=0)


if __name__ == "__main__":
    main()
