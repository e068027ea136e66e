"""Values as people write them: numbers where text is meant, zeros that mean something, names of the code."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema
import pytest

from laundry_service.auth.principal import Role
from laundry_service.limits.rates import DEFAULTS, LimitName
from laundry_service.settings import TrustSettings
from tests.deploy.test_chart import SCHEMA, named, refusal, rendered
from tests.deploy.test_chart_options import environment, pods

DIGITS = (
    "objectStore.bucket",
    "objectStore.region",
    "image.pullSecrets[0]",
    "ca.configMap",
    "ingress.className",
    "ingress.issuer.name",
    "ingress.tlsSecret",
    "rabbitmq.storageClassName",
    "rabbitmq.tls.issuer.name",
    "services.helper.priorityClassName",
    "secrets.helper.database-url.name",
    "secrets.helper.database-url.key",
    "secrets.notification.fcm-service-account\\.json.name",
    "secrets.notification.fcm-service-account\\.json.key",
    "backup.claim",
    "training.full.photosClaim",
    "training.full.workClaim",
    "topology.passwordsSecret",
    "autoscaling.keda.secret",
    "autoscaling.keda.key",
    "tests.tokenSecret",
)
"""Names that may be of digits only."""


def topology_job(*arguments: str) -> str:
    [name] = [each for each in pods(rendered(*arguments)) if "topology" in each]
    return name


def test_a_number_makes_the_topology_job_run_again_as_the_same_text_does() -> None:
    number, text, other = (
        topology_job(how, f"topology.runAgain={value}")
        for how, value in (
            ("--set", "1717171717"),
            ("--set-string", "1717171717"),
            ("--set", "1717171718"),
        )
    )
    assert number == text != other
    # Of a file a number is one with a point.
    assert topology_job("--set-json", "topology.runAgain=1717171717") == text
    assert topology_job("--set", "topology.runAgain=0") == topology_job("--set-string", "topology.runAgain=0")


def test_names_of_digits_are_text_in_what_is_rendered() -> None:
    told = [argument for place in DIGITS for argument in ("--set-string", f"{place}=123")]
    objects = rendered(*told)
    # What a training run is made of.
    jobs = named(objects, "ConfigMap", "laundry-training")["data"].values()
    found = [leaf for each in (*objects, *map(json.loads, jobs)) for leaf in leaves(each)]
    assert [leaf for leaf in found if leaf[1] == 123] == []
    assert len([leaf for leaf in found if leaf[1] == "123"]) >= len(DIGITS)


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What stands in an object, and where."""
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            yield from leaves(value, f"{path}.{key}")
    else:
        yield path, node


@pytest.mark.parametrize(
    ("argument", "share"),
    [
        (("--set", "tracing.sampledShare=0"), "0"),
        # By --set what has a point is text.
        (("--set", "tracing.sampledShare=0.25"), "0.25"),
        (("--set-json", "tracing.sampledShare=0.25"), "0.25"),
        (("--set", "tracing.sampledShare=1"), "1"),
        (("--set", "tracing.sampledShare=null"), None),
    ],
)
def test_a_share_of_traces_is_kept_and_none_of_them_with_nought(
    argument: tuple[str, str], share: str | None
) -> None:
    given = environment(pods(rendered(*argument))["laundry-search"])
    assert given.get("OTEL_TRACES_SAMPLER_ARG") == share
    assert ("OTEL_TRACES_SAMPLER" in given) == (share is not None)


@pytest.mark.parametrize("wrong", ["1.5", "half", ""])
def test_what_is_no_share_is_refused(wrong: str) -> None:
    assert "sampledShare" in refusal("--set-string", f"tracing.sampledShare={wrong}")


def test_half_an_hour_is_a_lifetime_of_a_token() -> None:
    argument = ("--set", "identity.tokenMaxHours.operator=0.5")
    given = environment(pods(rendered(*argument))["laundry-search"])
    told = json.loads(given["LAUNDRY_TOKEN_MAX_HOURS"])
    settings = {"jwks_url": "https://x", "jwt_issuer": "y", "token_max_hours": told}
    assert TrustSettings.model_validate(settings).token_max_hours == {"operator": 0.5}
    assert "tokenMaxHours" in refusal("--set-string", "identity.tokenMaxHours.operator=0")


def test_the_schema_has_the_rate_limits_and_roles_of_the_code() -> None:
    limits = SCHEMA["properties"]["rateLimits"]["propertyNames"]["enum"]
    assert set(limits) == set(get_args(LimitName))
    identity = SCHEMA["properties"]["identity"]["properties"]
    assert set(identity["tokenMaxHours"]["propertyNames"]["enum"]) == set(get_args(Role))
    trusted = identity["trustedIssuers"]["items"]["properties"]
    assert set(trusted["forcedRole"]["enum"]) == set(trusted["roles"]["items"]["enum"]) == set(get_args(Role))
    usual = {
        name: {"person": each.person, "address": each.address} if each.person else {"address": each.address}
        for name, each in DEFAULTS.items()
    }
    jsonschema.validate({"rateLimits": usual}, SCHEMA)


def test_operations_waits_for_no_identity_service_that_the_chart_leaves_out() -> None:
    left_out = [
        argument
        for value in (
            "enabled=false",
            "jwksUrl=https://identity.example/jwks.json",
            "issuer=https://identity.example",
        )
        for argument in ("--set", f"identity.{value}")
    ]
    own, other = (environment(pods(rendered(*told))["laundry-operations"]) for told in ((), left_out))
    assert own["LAUNDRY_IDENTITY_URL"] == "http://laundry-identity:8000"
    assert other["LAUNDRY_IDENTITY_URL"] == ""
    assert own["LAUNDRY_SEARCH_URL"] == other["LAUNDRY_SEARCH_URL"] == "http://laundry-search:8000"
