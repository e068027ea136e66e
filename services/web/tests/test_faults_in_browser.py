"""People take care of a fault, and everybody sees who does."""

import pytest

from laundry_service.http.problems import Problem

from .browsers import HURRY, expect
from .conftest import OpenPage
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_an_owner_takes_care_of_a_fault_and_sees_who_else_does(
    open_page: OpenPage, services: FakeServices
) -> None:
    mine = services.fault("washer-3", minutes_ago=3)["open_faults"][0]
    others = services.fault("washer-4", notified=False)["open_faults"][0]
    page = await open_page("/", role="owner", sub="owner-1", locale="en-US", script=HURRY)
    rows = page.locator(".alerts [data-faults]")
    row = rows.filter(has_text="washer-3")
    await expect(row).to_contain_text("Nobody has taken this yet.")
    await expect(page.locator(".banner")).to_have_count(1)

    services.refuse["acknowledge"] = Problem(503, "database-unavailable", "In English.")
    take = page.get_by_role("button", name="I'll take care of it: Washer washer-3")
    await take.click()
    await expect(row.get_by_role("alert")).to_contain_text("The service is away for a moment.")
    services.refuse.clear()
    await take.click()
    await expect(row).to_contain_text("You are taking care of it")
    await expect(row.get_by_role("button")).to_have_count(0)
    await expect(page.locator("#polite")).to_contain_text("washer-3: You are taking care of it")
    assert services.faults.taken == [mine["id"]]

    services.faults.change(services, others["id"], escalation=1, handling="escalated")
    other = rows.filter(has_text="washer-4")
    await expect(other).to_contain_text("so the next person was told")
    taken = {"handling": "acknowledged", "acknowledged_by": "kim", "acknowledged_at": services.at(5.2)}
    services.faults.change(services, others["id"], **taken)
    await expect(other).to_contain_text("kim is taking care of it5 min. ago")
    # Taken is taken: no banner asks for it any more.
    await expect(page.locator(".banner")).to_have_count(0)

    services.repair("washer-3")
    over = page.locator(".alerts li:not([data-faults])").filter(has_text="washer-3")
    await expect(over).to_contain_text("Over · taken care of by you")


async def test_the_link_of_a_push_leads_to_its_fault(open_page: OpenPage, services: FakeServices) -> None:
    for number in range(12):
        services.fault(f"washer-{number}", notified=False)
    asked = services.equipment["washer-9"]["open_faults"][0]["id"]
    page = await open_page(f"/?fault={asked}", role="owner", locale="en-US")
    row = page.locator(".alerts .asked")
    await expect(row).to_contain_text("washer-9")
    await expect(page.get_by_role("button", name="I'll take care of it: Washer washer-9")).to_be_focused()
    assert await page.evaluate("location.pathname + location.search") == "/owner"


async def test_an_operator_sees_what_nobody_has_taken(open_page: OpenPage, services: FakeServices) -> None:
    for name, changes in (
        ("washer-1", {"handling": "acknowledged", "acknowledged_by": "kim"}),
        ("washer-2", {}),
        ("washer-3", {"handling": "escalated", "escalation": 2}),
    ):
        services.fault(name)["open_faults"][0].update(changes)
    asked = services.equipment["washer-3"]["open_faults"][0]["id"]
    page = await open_page(f"/?fault={asked}", role="operator", sub="owner-1")
    rows = page.locator(".alerts li")
    await expect(rows).to_have_count(3)
    await expect(page).to_have_title("고장 · 스마트 세탁")
    await expect(rows.nth(0)).to_contain_text("washer-3")
    await expect(rows.nth(0)).to_contain_text("다음 담당자에게 2번 알렸습니다")
    await expect(rows.nth(2)).to_contain_text("kim 님이 맡고 있습니다")
    await rows.nth(0).get_by_role("button").click()
    await expect(page.locator(".alerts")).to_contain_text("내가 맡고 있습니다")
    for name in ("washer-1", "washer-2", "washer-3"):
        services.repair(name)
    await expect(page.locator(".faults .empty")).to_contain_text("고장 난 설비가 없습니다.")


async def test_opening_the_link_of_a_recommendation_ends_them(
    open_page: OpenPage, services: FakeServices
) -> None:
    services.refuse["unsubscribe"] = Problem(503, "away", "In English.")
    page = await open_page("/unsubscribe#key-of-lee", locale="en-US")
    await expect(page.get_by_role("alert")).to_contain_text("That did not work just now.")
    services.refuse.clear()
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("[role=status]")).to_have_text("Done. You get no more recommendations.")
    assert services.stopped == ["key-of-lee"]
