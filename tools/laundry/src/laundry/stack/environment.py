"""The environment of each service process: only its own addresses and secrets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from laundry_catalogue import Need, Process, Service, url_variable
from laundry_events.topology import VHOST
from laundry_reading.signing import SigningKey
from laundry_servers.addresses import BrokerAddress, ObjectStoreAddress
from laundry_servers.fcm import PROJECT_ID
from laundry_servers.identity import AUDIENCE, ISSUER
from laundry_servers.process import base_environment

BUCKET = "laundry"
WEB_PUSH_SUBJECT = "mailto:operator@laundry.localhost"
# Here one helper uploads as much as a whole chain, from one address. What no benchmark does in bulk
# keeps the limits of production.
RATE_LIMITS = {
    "uploads": {"person": "60000/m"},
    "previews": {"person": "60000/m"},
    "confirmations": {"person": "60000/m"},
    "telemetry": {"person": "60000/m"},
    "training-runs": {"person": "600/h"},
    "other-changes": {"person": "6000/m"},
}


PROVIDER, PAGES = "identity", "web"
CLIENT_ID = "laundry-web"
FIRST_OPERATOR = "operator@laundry.localhost"


@dataclass(frozen=True, slots=True)
class SignIn:
    """Keys and passwords of the identity service and of the pages that sign in there.

    Attributes:
        client_secret: with which web asks identity for tokens.
        session_key: seals the cookies of web.
        cookie_key: signs identity's cookies and links.
        signing_key: signs tokens.
        first_operator_password: of ``FIRST_OPERATOR``.
        mail_folder: where mails are written that would be sent elsewhere.
    """

    client_secret: str = field(repr=False)
    session_key: str = field(repr=False)
    cookie_key: str = field(repr=False)
    signing_key: str = field(repr=False)
    first_operator_password: str = field(repr=False)
    mail_folder: Path


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Addresses and secrets of all services and servers."""

    broker: BrokerAddress
    broker_passwords: Mapping[str, str] = field(repr=False)
    database_urls: Mapping[str, str] = field(repr=False)
    objects: ObjectStoreAddress
    fcm_url: str
    jwks_url: str
    model_folder: Path
    model_signing_key: str = field(repr=False)
    service_urls: Mapping[str, str]
    training: Mapping[str, str] = field(default_factory=dict)
    deny_list_url: str | None = None
    letter_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    web_push_key: str = field(default="", repr=False)
    push_service_url: str = ""
    sign_in: SignIn | None = None
    telemetry_folder: Path | None = None


def training_environment(data: Path | None, *, work: Path, python: Path) -> dict[str, str]:
    """Return what full training runs need: photos, a folder to work in, and an interpreter if it is there."""
    if data is None:
        return {}
    found = {"LAUNDRY_TRAINING_DATA": str(data), "LAUNDRY_TRAINING_WORK": str(work)}
    return found | ({"LAUNDRY_TRAINING_PYTHON": str(python)} if python.is_file() else {})


def service_environment(
    service: Service, process: Process, instance: str, port: int, around: Surroundings
) -> dict[str, str]:
    """Return the whole environment of one process; ``instance`` is the name of this replica of it."""
    found = base_environment()
    found |= {
        "PYTHONUNBUFFERED": "1",
        "LAUNDRY_SERVICE_NAME": process.name,
        "LAUNDRY_INSTANCE": instance,
        "LAUNDRY_HOST": "127.0.0.1",
        "LAUNDRY_PORT": str(port),
        "LAUNDRY_SHARE_PORT": str(process.copies > 1).lower(),
        # The services trust web's X-Forwarded-For; web, which anybody here may call, trusts nobody's.
        "LAUNDRY_TRUSTED_PROXIES": "" if service.edge else "127.0.0.0/8,::1",
    }
    if around.telemetry_folder is not None:
        found["LAUNDRY_TELEMETRY_FOLDER"] = str(around.telemetry_folder)
    found |= _identity(service, around)
    if Need.BROKER in service.needs:
        password = around.broker_passwords[service.name]
        # An operator rehearses dead letters here with messages that fail on purpose.
        found["LAUNDRY_DRILLS"] = "true"
        if Need.CONSUMES in service.needs and service.name in around.letter_keys:
            found["LAUNDRY_LETTER_KEY"] = around.letter_keys[service.name]
        found["LAUNDRY_AMQP_URL"] = around.broker.amqp_url_for(service.name, password, VHOST)
    if Need.DATABASE in service.needs:
        url = around.database_urls[service.name]
        found["LAUNDRY_DATABASE_URL"] = url.replace("postgresql://", "postgresql+asyncpg://", 1)
    if Need.OBJECTS in service.needs:
        found |= {
            "LAUNDRY_S3_ENDPOINT_URL": around.objects.endpoint_url,
            "LAUNDRY_S3_BUCKET": BUCKET,
            "LAUNDRY_S3_ACCESS_KEY": around.objects.access_key,
            "LAUNDRY_S3_SECRET_KEY": around.objects.secret_key,
        }
    if Need.MODELS in service.needs:
        found["LAUNDRY_MODEL_DIR"] = str(around.model_folder)
        found["LAUNDRY_MODEL_PUBLIC_KEYS"] = SigningKey.parse(around.model_signing_key).public.text
    if Need.SIGNING in service.needs:
        found["LAUNDRY_MODEL_SIGNING_KEY"] = around.model_signing_key
    if Need.TRAINING in service.needs:
        found |= around.training
    if Need.PUSH in service.needs:
        found |= _push_environment(around)
    if Need.MANAGEMENT in service.needs:
        found["LAUNDRY_MANAGEMENT_URLS"] = json.dumps(around.broker.management_urls)
        if around.broker.tls:
            nodes = (*around.broker.amqp_urls, around.broker.mqtt_url, *around.broker.prometheus_urls)
            listeners = [urlsplit(url).netloc.rpartition("@")[2] for url in nodes]
            found["LAUNDRY_TLS_ENDPOINTS"] = json.dumps(listeners)
    for peer in service.peers:
        found[url_variable(peer)] = around.service_urls[peer]
    found.update(service.environment)
    return found


def _push_environment(around: Surroundings) -> dict[str, str]:
    found = {"LAUNDRY_FCM_URL": around.fcm_url, "LAUNDRY_FCM_PROJECT_ID": PROJECT_ID}
    if not around.web_push_key:
        return found
    return found | {
        "LAUNDRY_WEB_PUSH_PRIVATE_KEY": around.web_push_key,
        "LAUNDRY_WEB_PUSH_SUBJECT": WEB_PUSH_SUBJECT,
        # Real browsers on this machine subscribe at the real services.
        "LAUNDRY_WEB_PUSH_SERVICES": f"default,{around.push_service_url}",
    }


def public_url(url: str) -> str:
    """Return the address that people type: browsers treat ``localhost`` like one that has TLS."""
    return url.replace("//127.0.0.1:", "//localhost:")


def _identity(service: Service, around: Surroundings) -> dict[str, str]:
    found: dict[str, str] = {}
    signs_in = Need.SESSIONS in service.needs and PROVIDER in around.service_urls
    if signs_in or not service.edge:
        found |= _trust(around)
    if not service.edge:
        found["LAUNDRY_RATE_LIMITS"] = json.dumps(RATE_LIMITS)
    if signs_in:
        found |= _sessions(around)
    if Need.PROVIDER in service.needs:
        found |= _provider(around)
    return found


def _trust(around: Surroundings) -> dict[str, str]:
    found = {
        "LAUNDRY_JWKS_URL": around.jwks_url,
        "LAUNDRY_JWT_ISSUER": ISSUER,
        "LAUNDRY_JWT_AUDIENCE": AUDIENCE,
    }
    if around.deny_list_url is not None:
        found["LAUNDRY_DENY_LIST_URL"] = around.deny_list_url
    url = around.service_urls.get(PROVIDER)
    if url is not None:
        issuer = {
            "issuer": public_url(url),
            "jwks_url": f"{url}/.well-known/jwks.json",
            "audience": AUDIENCE,
            "deny_list_url": f"{url}/deny-list.json",
            # `laundry token --sub` may act as anybody here.
            "subject_prefix": "",
        }
        found["LAUNDRY_TRUSTED_ISSUERS"] = json.dumps([issuer])
    return found


def _sessions(around: Surroundings) -> dict[str, str]:
    kept, provider = around.sign_in, around.service_urls[PROVIDER]
    assert kept is not None
    return {
        "LAUNDRY_PUBLIC_URL": public_url(around.service_urls[PAGES]),
        "LAUNDRY_OIDC_ISSUER": public_url(provider),
        "LAUNDRY_OIDC_DISCOVERY_URL": f"{provider}/.well-known/openid-configuration",
        "LAUNDRY_OIDC_CLIENT_ID": CLIENT_ID,
        "LAUNDRY_OIDC_CLIENT_SECRET": kept.client_secret,
        "LAUNDRY_SESSION_KEYS": kept.session_key,
    }


def _provider(around: Surroundings) -> dict[str, str]:
    kept, pages = around.sign_in, around.service_urls.get(PAGES, "http://127.0.0.1:8080")
    assert kept is not None
    return {
        "LAUNDRY_PUBLIC_URL": public_url(around.service_urls[PROVIDER]),
        "LAUNDRY_WEB_URLS": f"{public_url(pages)},{pages}",
        "LAUNDRY_OIDC_CLIENT_SECRET": kept.client_secret,
        "LAUNDRY_SECRET_KEYS": kept.cookie_key,
        "LAUNDRY_SIGNING_KEYS": kept.signing_key,
        "LAUNDRY_FIRST_OPERATOR": FIRST_OPERATOR,
        "LAUNDRY_FIRST_OPERATOR_PASSWORD": kept.first_operator_password,
        "LAUNDRY_MAIL_FOLDER": str(kept.mail_folder),
    }
