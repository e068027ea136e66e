"""A provider's own claims become a role and branches, or no entry at all."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from laundry_service.auth.claim_mapping import ClaimMapping, mapped
from laundry_service.auth.claims import BRANCH, TokenRefused
from laundry_service.auth.principal import ROLES

ROOT = Path(__file__).parents[3]
GROUPS = ClaimMapping(
    role="contains(groups, 'laundry-operators') && 'operator' "
    "|| contains(groups, 'laundry-owners') && 'owner' || contains(groups, 'laundry-helpers') && 'helper'",
    branches="groups[].after('branch-', @)",
)
FORCED = ClaimMapping(role="'customer'", branches="`[]`")

json_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
claims = some.dictionaries(
    some.sampled_from(["groups", "role", "branches", "sub", "email", "resource_access"])
    | some.text(max_size=8),
    json_values
    | some.lists(
        some.sampled_from(["laundry-owners", "laundry-helpers", "branch-b1", "branch-", "branch-Ö"])
    ),
    max_size=6,
)


@pytest.mark.parametrize(
    ("groups", "role", "branches"),
    [
        (["laundry-helpers", "branch-b1"], "helper", ["b1"]),
        (["staff", "laundry-owners", "branch-b1", "branch-b2"], "owner", ["b1", "b2"]),
        # The first that fits counts, in the order of the expression and not of the groups.
        (["laundry-helpers", "laundry-operators"], "operator", []),
    ],
)
def test_groups_become_a_role_and_branches(groups: list[str], role: str, branches: list[str]) -> None:
    found = mapped({"sub": "kim", "groups": groups}, GROUPS)
    assert found == {"sub": "kim", "groups": groups, "role": role, "branches": branches}


@pytest.mark.parametrize("groups", [None, [], "laundry-owners", ["owner"], [["laundry-owners"]], {}, 3])
def test_who_is_in_no_group_has_no_entry(groups: Any) -> None:
    with pytest.raises(TokenRefused) as refused:
        mapped({"groups": groups}, GROUPS)
    assert refused.value.code == "role-missing"


def test_a_branch_that_is_none_is_no_entry_rather_than_fewer_branches() -> None:
    with pytest.raises(TokenRefused):
        mapped({"groups": ["laundry-owners", "branch-b1", "branch-Ö"]}, GROUPS)


@pytest.mark.parametrize("expression", ["", "groups[", "unknown(", "a &&", "x" * 2001])
def test_an_expression_that_is_none_stops_the_service_at_its_start(expression: str) -> None:
    with pytest.raises(ValidationError):
        ClaimMapping(role=expression)


@pytest.mark.parametrize(
    ("guide", "claims", "role", "branches"),
    [
        ("keycloak", {"groups": ["laundry-owners", "branch-gangnam-1"]}, "owner", ["gangnam-1"]),
        ("entra", {"roles": ["helper", "branch-gangnam-1"]}, "helper", ["gangnam-1"]),
        ("google", {"hd": "chain.example", "email": "kim@chain.example"}, "operator", ["gangnam-1"]),
        ("google", {"hd": "chain.example", "email": "choi@chain.example"}, "helper", ["gangnam-1"]),
        ("google", {"hd": "evil.example", "email": "kim@chain.example"}, None, []),
        ("google", {"email": "kim@chain.example"}, None, []),
        ("keycloak", {"groups": ["branch-gangnam-1"]}, None, []),
        ("entra", {}, None, []),
    ],
)
def test_the_mappings_of_the_guides_do_what_they_say(
    guide: str, claims: dict[str, Any], role: str | None, branches: list[str]
) -> None:
    text = (ROOT / "docs" / "how-to" / f"sign-in-with-{guide}.md").read_text()
    [written] = re.findall(r"^```json\n(\{.*?\})\n```$", text, re.MULTILINE | re.DOTALL)
    mapping = ClaimMapping.model_validate_json(written)
    if role is None:
        with pytest.raises(TokenRefused):
            mapped(claims, mapping)
    else:
        found = mapped(claims, mapping)
        assert (found["role"], found["branches"]) == (role, branches)


@given(claims)
def test_no_claim_gives_a_role_that_the_mapping_does_not(claims: dict[str, Any]) -> None:
    for mapping in (GROUPS, ClaimMapping(role="role"), ClaimMapping(role="groups[0]", branches="groups")):
        try:
            found = mapped(claims, mapping)
        except TokenRefused as refused:
            assert refused.code == "role-missing"
        else:
            assert found["role"] in ROLES
            assert all(BRANCH.match(branch) for branch in found["branches"])
            assert {**found, "role": None, "branches": None} == {**claims, "role": None, "branches": None}


@given(claims)
def test_a_forced_role_is_what_everybody_gets(claims: dict[str, Any]) -> None:
    found = mapped({**claims, "role": "owner", "branches": ["b1"]}, FORCED)
    assert (found["role"], found["branches"]) == ("customer", [])
