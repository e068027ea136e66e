"""Credentials of machines: given, rotated and revoked by an operator."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import httpx
import jwt
import pytest

from laundry_service.auth.deny_list import DenyList
from laundry_service.auth.principal import Principal
from laundry_testing.problems import assert_problem

from .conftest import Provider, World
from .holding import held, waiting


async def test_a_machine_gets_a_secret_once_another_and_then_none(world: World) -> None:
    await world.branch("b1")
    body = {"equipment_id": "washer-3", "branch_id": "b1"}
    made = (await world.http.post("/equipment-credentials", json=body, headers=world.operator)).json()
    again = await world.http.post("/equipment-credentials", json=body, headers=world.operator)
    assert_problem(again, 409, "credential-exists")
    (shown,) = (await world.http.get("/equipment-credentials", headers=world.operator)).json()["items"]
    assert "client_secret" not in shown
    assert shown["client_id"] == made["client_id"]
    path = f"/equipment-credentials/{made['id']}"
    rotated = (await world.http.post(f"{path}/rotation", headers=world.operator)).json()
    assert rotated["client_id"] == made["client_id"]
    assert rotated["client_secret"] != made["client_secret"]
    assert [each["sub"] for each in await world.denied()] == ["washer-3"]
    revoked = await world.http.delete(path, params={"reason": "sold"}, headers=world.operator)
    assert revoked.status_code == 204
    assert_problem(await world.http.delete(path, headers=world.operator), 404, "credential-unknown")
    assert len(await world.denied()) == 2
    (record,) = await world.audited("credential.revoke")
    assert (record["object"], record["reason"]) == ("b1/washer-3", "sold")
    records = [await world.audited(f"credential.{act}") for act in ("create", "rotate", "revoke")]
    assert made["client_secret"] not in str(records)
    again = await world.http.post("/equipment-credentials", json=body, headers=world.operator)
    assert again.status_code == 201


async def test_only_operators_give_machines_credentials(world: World) -> None:
    await world.branch("b1")
    owner = await world.person("owner", "b1")
    body = {"equipment_id": "washer-3", "branch_id": "b1"}
    assert_problem(
        await world.http.post("/equipment-credentials", json=body, headers=owner), 403, "role-forbidden"
    )
    body["branch_id"] = "b9"
    answer = await world.http.post("/equipment-credentials", json=body, headers=world.operator)
    assert_problem(answer, 404, "branch-unknown")


async def test_a_revoked_machine_gets_no_token_and_its_last_one_is_denied(world: World) -> None:
    await world.branch("b1")
    body = {"equipment_id": "washer-3", "branch_id": "b1"}
    made = (await world.http.post("/equipment-credentials", json=body, headers=world.operator)).json()
    path = made["token_url"].removeprefix(world.settings.issuer)

    async def ask(secret: str) -> httpx.Response:
        return await world.http.post(
            path, data={"grant_type": "client_credentials"}, auth=(made["client_id"], secret)
        )

    answer = await ask(made["client_secret"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["expires_in"] == world.settings.device_token_s
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["branches"]) == ("washer-3", "device", ["b1"])
    assert claims["exp"] - int(claims["iat"]) == world.settings.device_token_s
    principal = Principal("washer-3", "device", issued_at=claims["iat"])
    again = await world.http.post(f"/equipment-credentials/{made['id']}/rotation", headers=world.operator)
    assert (await ask(made["client_secret"])).status_code == 401
    newer = await ask(again.json()["client_secret"])
    later = jwt.decode(newer.json()["access_token"], options={"verify_signature": False})
    denied = DenyList({"denied": await world.denied()})
    assert denied.covers(principal, now=claims["iat"])
    assert not denied.covers(replace(principal, issued_at=later["iat"]), now=later["iat"])
    await world.http.delete(f"/equipment-credentials/{made['id']}", headers=world.operator)
    assert (await ask(again.json()["client_secret"])).status_code == 401
    denied = DenyList({"denied": await world.denied()})
    assert denied.covers(replace(principal, issued_at=later["iat"]), now=later["iat"])


async def test_who_asks_while_the_secret_is_replaced_gets_nothing_for_the_old_one(world: World) -> None:
    from identity.oidc.device_clients import replace_secret
    from identity.people import repository
    from identity.people.service.acting import cut_off

    await world.branch("b1")
    body = {"equipment_id": "washer-3", "branch_id": "b1"}
    made = (await world.http.post("/equipment-credentials", json=body, headers=world.operator)).json()
    login = (made["client_id"], made["client_secret"])

    def replace_it() -> None:
        # As a rotation does, which is not committed yet.
        assert repository.credential_for_update(UUID(made["id"]))
        replace_secret(made["client_id"])
        cut_off("washer-3", "device", repository.clock())

    async with held(replace_it):
        data = {"grant_type": "client_credentials"}
        asking = asyncio.create_task(world.http.post("/identity/o/api/token", data=data, auth=login))
        await waiting(world.settings.database_url.get_secret_value())
    refused = await asking
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_equipment_gets_a_token_of_its_own_until_it_is_revoked(provider: Provider) -> None:
    await provider.branch("b1")
    body = {"equipment_id": "washer-7", "branch_id": "b1"}
    answer = await provider.http.post("/equipment-credentials", json=body, headers=provider.operator)
    made = answer.json()
    login = (made["client_id"], made["client_secret"])

    async def asks() -> httpx.Response:
        return await provider.http.post(
            "/identity/o/api/token", data={"grant_type": "client_credentials"}, auth=login
        )

    given = (await asks()).json()
    claims = provider.claims(given["access_token"])
    assert (claims["sub"], claims["role"], claims["branches"]) == ("washer-7", "device", ["b1"])
    assert given["expires_in"] == 3600
    assert claims["exp"] == pytest.approx(datetime.now(UTC).timestamp() + 3600, abs=60)
    # Its token is good, and opens nothing that is for people.
    assert (await provider.asks(given["access_token"])).json()["code"] == "role-forbidden"
    await provider.http.delete(f"/equipment-credentials/{made['id']}", headers=provider.operator)
    refused = await asks()
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


async def test_a_machine_cannot_sign_people_in_and_a_web_client_is_no_machine(provider: Provider) -> None:
    answer = await provider.backend.ask(grant_type="client_credentials")
    assert answer.status_code == 400
    answer = await provider.backend.ask(grant_type="password", username="a", password="b")
    assert answer.status_code == 400
