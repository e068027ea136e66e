"""The local stack gives each process what its settings ask for, and nobody else's logins."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from laundry.push_keys import new_private_key
from laundry.stack.environment import SignIn, Surroundings, service_environment
from laundry_catalogue import SERVICES, Need, Process, Service
from laundry_reading.signing import SigningKey
from laundry_servers.addresses import BrokerAddress, ObjectStoreAddress
from laundry_service.auth.issuer import TrustedIssuer
from tests.deploy.test_compose import PROCESSES, settings_of

NAMES = [service.name for service in SERVICES]
AROUND = Surroundings(
    broker=BrokerAddress("amqp://a:b@h", ["amqp://a:b@h"], ["http://h"], "mqtt://h", "a", "b"),
    broker_passwords={name: f"broker-{name}" for name in NAMES},
    database_urls={name: f"postgresql://{name}:database-{name}@h/{name}" for name in NAMES},
    objects=ObjectStoreAddress("http://s3", "access", "secret"),
    fcm_url="http://fcm",
    jwks_url="http://identity",
    model_folder=Path("models"),
    model_signing_key=SigningKey.generate().text,
    service_urls={name: f"http://{name}" for name in NAMES},
    letter_keys={name: f"letters-{name}" for name in NAMES},
    web_push_key=new_private_key(),
    push_service_url="http://127.0.0.1:8006",
    sign_in=SignIn(
        "client-secret", "session-key", "cookie-key", "signing-key", "operator-password", Path("mail")
    ),
)


@pytest.mark.parametrize(("service", "process"), PROCESSES)
def test_a_process_gets_what_its_settings_ask_for(service: Service, process: Process) -> None:
    given = service_environment(service, process, process.instances[0], 8000, AROUND)
    fields = settings_of(service).model_fields
    known = {f"LAUNDRY_{name.upper()}" for name in fields}
    # Read by the server and by the logs, before there are settings.
    known |= {"LAUNDRY_INSTANCE"}
    assert {name for name in given if name.startswith("LAUNDRY_")} <= known, "variables that it does not read"
    required = {f"LAUNDRY_{name.upper()}" for name, field in fields.items() if field.is_required()}
    assert required <= given.keys()


@pytest.mark.parametrize(("service", "process"), PROCESSES)
def test_a_process_has_only_its_own_logins(service: Service, process: Process) -> None:
    text = "\n".join(service_environment(service, process, process.instances[0], 8000, AROUND).values())
    for need, secret in (
        (Need.BROKER, f"broker-{service.name}"),
        (Need.DATABASE, f"database-{service.name}"),
        (Need.CONSUMES, f"letters-{service.name}"),
        (Need.OBJECTS, "access"),
        (Need.SIGNING, AROUND.model_signing_key),
        (Need.PUSH, AROUND.web_push_key),
        (Need.PROVIDER, "cookie-key"),
        (Need.PROVIDER, "signing-key"),
        (Need.PROVIDER, "operator-password"),
    ):
        assert (secret in text) == (need in service.needs), need
    others = [name for name in NAMES if not service.name.startswith(name) and name != service.name]
    assert not [name for name in others if f"broker-{name}" in text or f"database-{name}" in text]


def test_browsers_of_this_machine_are_pushed_to_at_the_local_push_service_and_at_real_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notification = next(service for service in SERVICES if Need.PUSH in service.needs)
    given = service_environment(notification, notification.processes[0], "notification", 8000, AROUND)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    # A key that is none, or a sub that nobody can be reached at, would be refused here.
    settings: Any = settings_of(notification)()
    for endpoint in ("http://127.0.0.1:8006/web-push/x", "https://fcm.googleapis.com/fcm/send/x"):
        assert settings.push_services.endpoint(endpoint)


def test_the_tokens_of_the_identity_service_are_taken_beside_those_of_the_local_key() -> None:
    for service in SERVICES:
        given = service_environment(service, service.processes[0], service.name, 8000, AROUND)
        (issuer,) = json.loads(given["LAUNDRY_TRUSTED_ISSUERS"])
        assert TrustedIssuer.model_validate(issuer).deny_list_url == "http://identity/deny-list.json"
        assert given["LAUNDRY_JWT_ISSUER"] != issuer["issuer"]
    alone = replace(AROUND, service_urls={"helper": "http://helper"})
    helper = next(each for each in SERVICES if each.name == "helper")
    assert "LAUNDRY_TRUSTED_ISSUERS" not in service_environment(
        helper, helper.processes[0], "helper", 8000, alone
    )
