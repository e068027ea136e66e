"""Django's own settings, made from ours."""

from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings as django_settings

from identity.settings import Settings


def configure(settings: Settings) -> None:
    """Configure Django once in this process."""
    if not django_settings.configured:
        django_settings.configure(**django_configuration(settings))
        django.setup()


def django_configuration(settings: Settings) -> dict[str, Any]:
    """Return Django's settings."""
    first, *others = settings.secret_keys.get_secret_value().split(",")
    return {
        "SECRET_KEY": first,
        "SECRET_KEY_FALLBACKS": others,
        "DEBUG": False,
        "ALLOWED_HOSTS": ["*"],
        "ROOT_URLCONF": "identity.urls",
        "AUTH_USER_MODEL": "people.Person",
        "INSTALLED_APPS": [
            "identity.people",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "allauth",
            "allauth.account",
            "allauth.idp.oidc",
        ],
        "MIDDLEWARE": [
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.locale.LocaleMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        "DATABASES": {"default": database(settings.database_url.get_secret_value(), settings.database_pool)},
        # Rate limits and lockouts are counted there, by all replicas together.
        "CACHES": {
            "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}
        },
        # The house's own logging stands.
        "LOGGING_CONFIG": None,
        "USE_TZ": True,
        "TIME_ZONE": "UTC",
    }


def database(url: str, pool: int | None = None) -> dict[str, Any]:
    """Return Django's entry for a database address of ours; without a pool each thread has a connection."""
    pooled = {} if pool is None else {"pool": {"min_size": 0, "max_size": pool, "timeout": 10}}
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "NAME": unquote(parts.path.removeprefix("/")),
        "OPTIONS": {
            "connect_timeout": 5,
            "options": "-c statement_timeout=30000 -c lock_timeout=10000",
            **pooled,
        },
    }
