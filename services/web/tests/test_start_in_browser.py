import pytest

from .browsers import expect
from .conftest import OpenPage, shortcomings

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_visitor_is_told_what_to_do(open_page: OpenPage) -> None:
    page = await open_page("/")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "ko")
    await expect(page.get_by_role("link", name="로그인")).to_be_visible()
    await page.get_by_role("button", name="English").click()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    # The choice is kept.
    await page.reload()
    await expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    assert await shortcomings(page) == {}


async def test_everybody_is_led_to_the_page_of_their_role(open_page: OpenPage) -> None:
    page = await open_page("/helper", locale="en-US", role="owner")
    await expect(page.get_by_role("heading", name="Waiting for you")).to_be_visible()
    assert await page.evaluate("location.pathname") == "/owner"


async def test_a_role_without_a_page_is_explained(open_page: OpenPage) -> None:
    page = await open_page("/", locale="en-US", role="device")
    await expect(page.get_by_role("heading", name="There is no page for this role")).to_be_visible()
    await page.get_by_role("button", name="Sign out").last.click()
    await expect(page.get_by_role("link", name="Sign in")).to_be_visible()


async def test_page_opens_without_a_connection(open_page: OpenPage) -> None:
    page = await open_page("/", role="helper", locale="en-US", kept=True)
    # The worker has everything once it controls the page.
    await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    await open_page.cut_off(page)
    await page.reload()
    await expect(page.get_by_role("heading", name="Photograph the laundry")).to_be_visible()
    await expect(page.get_by_text("You are offline").first).to_be_visible()
    await open_page.connect(page)
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
