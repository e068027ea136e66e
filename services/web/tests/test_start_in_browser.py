import pytest

from laundry_testing.identity import FileIdentity

from .browsers import expect
from .conftest import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_visitor_is_told_what_to_do(open_page: OpenPage) -> None:
    page = await open_page("/")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "ko")
    await expect(page.get_by_label("로그인 토큰")).to_be_visible()
    await page.get_by_role("button", name="English").click()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.get_by_label("Sign-in token").fill("not a token")
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("#token-error")).to_contain_text("no sign-in token")
    # The choice is kept.
    await page.reload()
    await expect(page.get_by_role("button", name="Start")).to_be_visible()


async def test_token_in_the_link_signs_in_and_leaves_the_address(
    open_page: OpenPage, identity: FileIdentity
) -> None:
    page = await open_page("/", role="helper")
    await expect(page.get_by_role("heading", name="세탁물을 찍어 주세요")).to_be_visible()
    assert await page.evaluate("location.pathname + location.hash") == "/helper"
    # It is kept on the phone until sign-out.
    await page.reload()
    await expect(page.get_by_role("heading", name="세탁물을 찍어 주세요")).to_be_visible()
    await page.get_by_role("button", name="로그아웃").click()
    await expect(page.get_by_label("로그인 토큰")).to_be_visible()
    assert await page.evaluate("localStorage.getItem('laundry.token')") is None


async def test_pasted_token_leads_to_the_page_of_its_role(
    open_page: OpenPage, identity: FileIdentity
) -> None:
    page = await open_page("/helper", locale="en-US")
    token = identity.local.mint(role="owner", branches=["b1"])
    await page.get_by_label("Sign-in token").fill(f"  {token}\n")
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_role("heading", name="Waiting for you")).to_be_visible()
    assert await page.evaluate("location.pathname + location.hash") == "/owner"


async def test_expired_token_and_role_without_a_page_are_explained(
    open_page: OpenPage, identity: FileIdentity
) -> None:
    page = await open_page("/", locale="en-US", role="device")
    await expect(page.get_by_role("heading", name="There is no page for this role")).to_be_visible()
    await page.get_by_role("button", name="Sign out").last.click()
    await page.get_by_label("Sign-in token").fill(
        identity.local.mint(role="helper", branches=["b1"], seconds=-60)
    )
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_text("Your sign-in has ended").first).to_be_visible()
    assert await page.evaluate("localStorage.getItem('laundry.token')") is None


async def test_page_opens_without_a_connection(open_page: OpenPage) -> None:
    page = await open_page("/", role="helper", locale="en-US")
    # The worker has everything once it controls the page.
    await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    await page.context.set_offline(True)
    await page.reload()
    await expect(page.get_by_role("heading", name="Photograph the laundry")).to_be_visible()
    await expect(page.get_by_text("You are offline").first).to_be_visible()
    await page.context.set_offline(False)
    await expect(page.get_by_text("You are offline").first).to_be_hidden()


async def test_event_stream_is_read_whole_however_it_is_cut(open_page: OpenPage) -> None:
    page = await open_page("/")
    lines = [
        ": keep-alive",
        "event: task",
        "id: 7",
        'data: {"id": "a",',
        'data: "n": 1}',
        "",
        "data:no space",
        "",
        "event: empty",
        "",
        "data: 세탁",
        "",
        "data: cut off",
    ]
    texts = [ending.join(lines) for ending in ("\n", "\r\n", "\r")]
    want = [
        {"type": "task", "data": '{"id": "a",\n"n": 1}', "id": "7"},
        {"type": "message", "data": "no space", "id": "7"},
        {"type": "message", "data": "세탁", "id": "7"},
    ]
    got = await page.evaluate(
        """async (texts) => {
          const { EventParser } = await import("/static/js/events.js");
          return texts.map((text) => {
            const readings = [];
            for (let cut = 0; cut <= text.length; cut += 1) {
              const parser = new EventParser();
              readings.push([...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))]);
            }
            const parser = new EventParser();
            readings.push([...text].flatMap((character) => parser.push(character)));
            return readings;
          });
        }""",
        texts,
    )
    for text, readings in zip(texts, got, strict=True):
        assert len(readings) == len(text) + 2
        assert all(events == want for events in readings)
