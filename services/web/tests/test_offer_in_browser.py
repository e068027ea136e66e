"""An owner says what a branch is like, sees what was said, and takes it back."""

import pytest

from .browsers import expect
from .conftest import OpenPage, shortcomings
from .fake_identity import FakeIdentity
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_what_a_branch_is_like_is_said_in_words_seen_and_taken_back(
    open_page: OpenPage, services: FakeServices
) -> None:
    customers = services.customers
    identity = FakeIdentity(services.app)
    identity.branches.append(identity.branch("mapo-2", "마포 2호점", "Mapo 2"))
    customers.state("gangnam-1", "전에 한 말", "전에 한 말입니다.", sauna=1.0)
    page = await open_page("/owner?view=offer", role="owner", branches=("gangnam-1", "mapo-2"))
    await expect(page).to_have_title("우리 지점 · 스마트 세탁")
    await expect(page.locator("[data-preference]")).to_contain_text("전에 한 말")
    await page.get_by_label("지점", exact=True).select_option("마포 2호점")
    await expect(page.get_by_text("아직 등록한 소개가 없습니다")).to_be_visible()

    await page.get_by_label("한 줄 소개").fill("조용한 아침")
    await page.get_by_label("자세한 소개").fill("여섯 시에 엽니다.")
    await page.get_by_role("button", name="고객에게 알리기").click()
    await expect(page.get_by_text("위에서 특징을 하나 이상 골라 주세요.")).to_be_visible()
    await page.get_by_role("button", name="조용해요", exact=True).click()
    await page.get_by_label("조용해요: 얼마나 중요한가요?").select_option("much")
    await page.get_by_label("직접 입력").fill("a&b")
    await page.get_by_role("button", name="추가").click()
    await expect(page.get_by_text("한글, 영문, 숫자, -, _만 쓸 수 있습니다.")).to_be_visible()
    await page.get_by_label("직접 입력").fill("Roof Garden")
    await page.get_by_label("직접 입력").press("Enter")
    await expect(page.get_by_role("button", name="roof garden")).to_have_attribute("aria-pressed", "true")

    # Nothing is lost while the service is away, and what is sent again is the same.
    customers.away.add("preferences")
    await page.get_by_role("button", name="고객에게 알리기").click()
    await expect(page.locator("form .trouble")).to_be_visible()
    customers.away.clear()
    await page.get_by_role("button", name="고객에게 알리기").click()
    await expect(page.get_by_text("등록했습니다. 고객 3명의 취향에 맞습니다.")).to_be_visible()
    assert customers.keys[0] == customers.keys[1]
    said = customers.preferences[0]
    assert (said["branch_id"], said["title"]) == ("mapo-2", "조용한 아침")
    assert said["tags"] == {"quiet": 1, "roof-garden": 0.6}
    await expect(page.get_by_label("한 줄 소개")).to_have_value("")
    entry = page.locator("[data-preference]")
    await expect(entry).to_contain_text("조용해요 아주 그래요")

    await page.get_by_role("button", name="English").click()
    await expect(page).to_have_title("Our branch · Smart Laundry")
    await page.get_by_label("Branch", exact=True).select_option("Mapo 2")
    await expect(entry).to_contain_text("Quiet very much so")
    assert await shortcomings(page) == {}
    await page.get_by_role("button", name="Take back 조용한 아침").click()
    await page.locator("dialog").get_by_role("button", name="Take back").click()
    await expect(page.get_by_text("You have said nothing yet")).to_be_visible()
    assert [each["branch_id"] for each in customers.preferences] == ["gangnam-1"]
