"""Django's own settings, made from ours."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import django
from django.conf import settings as django_settings

from identity.settings import Settings
from laundry_events import silent_hosts
from laundry_service.auth.rsa_keys import pems

SESSION_S = 12 * 3600
RESET_LINK_S = 3600
COUNTS_TABLE = "cache"
MAX_COUNTS = 1_000_000
# A host that vanishes says nothing: after 15 to 25 s its connections fail, whether they wait for an answer or
# for an acknowledgement. By the system's own limits that takes a quarter of an hour.
GONE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
SERVER_SETTINGS = {"statement_timeout": "30000", "lock_timeout": "10000", **silent_hosts.SERVER_SETTINGS}


def configure(settings: Settings) -> None:
    """Configure Django once in this process."""
    if not django_settings.configured:
        django_settings.configure(**django_configuration(settings))
        django.setup()


def django_configuration(settings: Settings) -> dict[str, Any]:
    """Return what Django's settings are, made from the service's."""
    first, *others = settings.keys
    return {
        # What our own code reads.
        "IDENTITY": settings,
        "SECRET_KEY": first,
        "SECRET_KEY_FALLBACKS": others,
        "DEBUG": False,
        # Django sees the public address only (identity.asgi).
        "ALLOWED_HOSTS": [settings.public_url.host],
        "ROOT_URLCONF": "identity.urls",
        "AUTH_USER_MODEL": "people.Person",
        "INSTALLED_APPS": [
            "identity.people",
            "identity.oidc",
            "django.contrib.admin.apps.SimpleAdminConfig",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "allauth",
            "allauth.account",
            "allauth.idp.oidc",
        ],
        "MIDDLEWARE": [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.locale.LocaleMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [Path(__file__).parent / "templates"],
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                        "identity.texts.texts",
                    ]
                },
            }
        ],
        "STATIC_URL": "/static/",
        "DATABASES": {"default": database(settings.database_url.get_secret_value(), settings.database_pool)},
        # Rate limits and lockouts are counted there, by all replicas together.
        "CACHES": {
            "default": {
                "BACKEND": "django.core.cache.backends.db.DatabaseCache",
                "LOCATION": COUNTS_TABLE,
                # Above it a third of all rows goes: Django's 300 would let three addresses end any lockout.
                # More than passwords can be checked while a count lives; what is over goes every minute.
                "OPTIONS": {"MAX_ENTRIES": MAX_COUNTS},
            }
        },
        # The house's own logging stands.
        "LOGGING_CONFIG": None,
        "USE_TZ": True,
        "TIME_ZONE": "UTC",
        "LANGUAGE_CODE": "ko",
        "LANGUAGES": [("ko", "한국어"), ("en", "English")],
        **_cookies(settings),
        **_accounts(),
        **_provider(settings),
        **_mail(settings),
    }


def _cookies(settings: Settings) -> dict[str, Any]:
    host_only = "__Host-" if settings.by_tls else ""
    found: dict[str, Any] = {"CSRF_FAILURE_VIEW": "identity.errors.stale"}
    for name, cookie in (("SESSION", "identity"), ("CSRF", "identity-form"), ("LANGUAGE", "language")):
        found |= {
            f"{name}_COOKIE_NAME": host_only + cookie,
            f"{name}_COOKIE_SECURE": settings.by_tls,
            f"{name}_COOKIE_HTTPONLY": True,
            # Not Strict: a sign-in begins with a redirect from the pages, which may be another site.
            f"{name}_COOKIE_SAMESITE": "Lax",
        }
    # The pages stay signed in by their refresh token; this one is for a second page on the same day.
    return found | {"SESSION_COOKIE_AGE": SESSION_S, "LANGUAGE_COOKIE_AGE": 365 * 24 * 3600}


def _accounts() -> dict[str, Any]:
    return {
        "AUTHENTICATION_BACKENDS": ["allauth.account.auth_backends.AuthenticationBackend"],
        "PASSWORD_HASHERS": [
            "identity.oidc.hashers.PasswordHasher",
            # Of clients' secrets, which are random.
            "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        ],
        "AUTH_PASSWORD_VALIDATORS": [
            {"NAME": f"django.contrib.auth.password_validation.{name}"}
            for name in (
                "UserAttributeSimilarityValidator",
                "MinimumLengthValidator",
                "CommonPasswordValidator",
                "NumericPasswordValidator",
            )
        ],
        "PASSWORD_RESET_TIMEOUT": RESET_LINK_S,
        "LOGIN_URL": "account_login",
        "LOGIN_REDIRECT_URL": "/",
        "ACCOUNT_ADAPTER": "identity.oidc.accounts.AccountAdapter",
        "ACCOUNT_FORMS": {
            "login": "identity.oidc.forms.LoginForm",
            "reset_password": "identity.oidc.forms.ResetPasswordForm",
        },
        "ACCOUNT_USER_MODEL_USERNAME_FIELD": None,
        "ACCOUNT_LOGIN_METHODS": {"email"},
        "ACCOUNT_SIGNUP_FIELDS": ["email*", "password1*"],
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS": False,
        "ACCOUNT_EMAIL_SUBJECT_PREFIX": "",
        "ACCOUNT_EMAIL_NOTIFICATIONS": True,
        "ACCOUNT_SESSION_REMEMBER": True,
        "ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE": False,
        # Five wrong passwords for one account lock it for five minutes; one address may fail more often.
        "ACCOUNT_RATE_LIMITS": {"login_failed": "30/m/ip,5/300s/key", "login": "60/m/ip"},
    }


def _provider(settings: Settings) -> dict[str, Any]:
    return {
        "IDP_OIDC_ADAPTER": "identity.oidc.adapter.OidcAdapter",
        "IDP_OIDC_PRIVATE_KEYS": [{"pem": pem} for pem in pems(settings.signing_keys.get_secret_value())],
        "IDP_OIDC_ACCESS_TOKEN_FORMAT": "jwt",
        "IDP_OIDC_ACCESS_TOKEN_EXPIRES_IN": settings.access_token_s,
        "IDP_OIDC_REFRESH_TOKEN_EXPIRES_IN": settings.refresh_token_days * 24 * 3600,
        # A phone that lost an answer on the way would be signed out; the token lies sealed in its cookie.
        "IDP_OIDC_ROTATE_REFRESH_TOKEN": False,
        "IDP_OIDC_RP_INITIATED_LOGOUT_ASKS_FOR_OP_LOGOUT": False,
        "IDP_OIDC_JWKS_CACHE_CONTROL": 60,
    }


def _mail(settings: Settings) -> dict[str, Any]:
    common = {"DEFAULT_FROM_EMAIL": settings.mail_from, "EMAIL_TIMEOUT": 10}
    backends = "django.core.mail.backends"
    if settings.mail_folder is not None:
        return {
            **common,
            "EMAIL_BACKEND": f"{backends}.filebased.EmailBackend",
            "EMAIL_FILE_PATH": str(settings.mail_folder),
        }
    if settings.smtp_url is None:
        return {**common, "EMAIL_BACKEND": f"{backends}.dummy.EmailBackend"}
    parts = urlsplit(settings.smtp_url.get_secret_value())
    return {
        **common,
        "EMAIL_BACKEND": f"{backends}.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname or "",
        "EMAIL_PORT": parts.port or {"smtps": 465, "smtp+tls": 587}.get(parts.scheme, 25),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
        "EMAIL_USE_SSL": parts.scheme == "smtps",
    }


def database(url: str, pool: int | None = None) -> dict[str, Any]:
    """Return Django's entry for a database address of ours; without a pool each thread has a connection."""
    pooled = {} if pool is None else {"pool": {"min_size": 0, "max_size": pool, "timeout": 10}}
    parts = urlsplit(url)
    # asyncpg's name for what libpq calls sslmode.
    asked = {"sslmode" if name == "ssl" else name: value for name, value in parse_qsl(parts.query)}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        # What a restart of the server left behind is noticed before it fails a request.
        "CONN_HEALTH_CHECKS": True,
        "NAME": unquote(parts.path.removeprefix("/")),
        "OPTIONS": {
            "connect_timeout": 5,
            "options": " ".join(f"-c {name}={value}" for name, value in SERVER_SETTINGS.items()),
            **GONE,
            **asked,
            **pooled,
        },
    }
