"""Rules that know no page: swipes, keys, days, files, steps of a taste, and how lists are drawn."""

import json
from typing import Any

import pytest
from playwright.async_api import Page

from .conftest import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def call(page: Page, module: str, name: str, *arguments: Any) -> Any:
    """Call what a module exports."""
    return await page.evaluate(
        f"async (given) => (await import('/static/js/{module}.js')).{name}(...given)", list(arguments)
    )


async def test_the_rules(open_page: OpenPage) -> None:
    page = await open_page("/")

    async def side(dx: int, dy: int = 0, ms: int = 900) -> Any:
        return await call(page, "swipe", "sideOf", {"dx": dx, "dy": dy, "ms": ms, "width": 360})

    assert [await side(130), await side(-130)] == ["right", "left"]
    assert [await side(120), await side(-60, ms=90), await side(30, ms=10)] == [None, None, None]
    assert await side(70, ms=100) == "right"
    # A finger that scrolls.
    assert await side(130, dy=80) is None

    async def asked(code: str, key: str = "", **more: bool) -> Any:
        return await call(page, "shortcuts", "actionOf", {"code": code, "key": key or code, **more})

    assert await asked("KeyY", "ㅛ") == {"action": "confirm"}
    assert await asked("Digit3") == await asked("Numpad3") == {"action": "choose", "number": 3}
    assert await asked("KeyY", repeat=True) is None
    assert await asked("KeyJ", repeat=True) == {"action": "next"}
    for held in ("ctrlKey", "metaKey", "altKey", "shiftKey"):
        assert await asked("KeyY", "y", **{held: True}) is None
    assert await asked("Slash", "?", shiftKey=True) == {"action": "help"}

    rows = [["Day", "Class, and more"], ['="x"', 3], ["-b1", " +1"], ["\t@a", 'say "hi"'], ["2026-03-09", -1]]
    text = await call(page, "csv", "csvOf", rows)
    assert text.startswith("\ufeff")
    assert text[1:].split("\r\n") == [
        'Day,"Class, and more"', '"\'=""x""",3', "'-b1,' +1", '\'\t@a,"say ""hi"""',
        "2026-03-09,-1", "",
    ]  # fmt: skip

    assert await call(page, "days", "daysBetween", "2026-02-27", "2026-03-02") == [
        "2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02",
    ]  # fmt: skip
    assert await call(page, "days", "daysBetween", "2026-03-02", "2026-03-01") == []
    assert await call(page, "days", "moved", "2026-03-29", 1) == "2026-03-30"
    # 15:30 UTC is tomorrow in Seoul.
    assert await call(page, "days", "todayIn", 1773070200000, "Asia/Seoul") == "2026-03-10"

    for weight, name in ((0.05, "some"), (0.44, "some"), (0.46, "good"), (0.79, "good"), (0.81, "much")):
        assert (await call(page, "taste", "levelOf", weight))["name"] == name
    tags = [
        {"tag": "quiet", "group": "mood"},
        {"tag": "roof", "group": None},
        {"tag": "late", "group": "hours"},
    ]
    assert await call(page, "taste", "offered", tags, {"quiet": 1, "mine": 0.5}) == [
        {"group": "mood", "tags": ["quiet"]},
        {"group": "other", "tags": ["roof", "mine"]},
        {"group": "hours", "tags": ["late"]},
    ]

    washed = {
        "days": [{"loads": 3, "corrected": 1}, {"loads": 2, "corrected": 0}],
        "items": [
            {"label": "hat", "pieces": 2, "loads": 2, "corrected": 1},
            {"label": "shirt", "pieces": 5, "loads": 3, "corrected": 1},
            {"label": "hat", "pieces": 1, "loads": 1, "corrected": 0},
        ],
    }
    assert await call(page, "washed", "total", washed) == {"loads": 5, "corrected": 1, "pieces": 8}
    assert await call(page, "washed", "byClass", washed) == [
        {"label": "shirt", "pieces": 5, "loads": 3, "corrected": 1},
        {"label": "hat", "pieces": 3, "loads": 3, "corrected": 1},
    ]
    assert json.dumps(await call(page, "washed", "byClass", {"items": []})) == "[]"


DRAWN = """async () => {
  const { OncePerFrame } = await import("/static/js/live.js");
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  let draws = 0;
  const counts = [];
  const drawing = new OncePerFrame(() => { draws += 1; });
  const storm = () => { for (let change = 0; change < 200; change += 1) drawing.ask(); };
  storm();
  counts.push(draws);
  await frame();
  counts.push(draws);
  // What changes after a frame is in the next one.
  storm();
  await frame();
  counts.push(draws);
  await wait(400);
  counts.push(draws);
  // A tab in the background has no frames.
  const { requestAnimationFrame: kept } = window;
  window.requestAnimationFrame = () => 0;
  storm();
  await wait(400);
  counts.push(draws);
  storm();
  drawing.cancel();
  await wait(400);
  window.requestAnimationFrame = kept;
  return [...counts, draws];
}"""


async def test_what_many_changes_ask_for_is_drawn_once_with_frames_and_without(open_page: OpenPage) -> None:
    page = await open_page("/")
    assert await page.evaluate(DRAWN) == [0, 1, 2, 2, 3, 3]


ROWS = """async () => {
  const { Rows } = await import("/static/js/rows.js");
  const list = document.body.appendChild(document.createElement("ul"));
  const rows = new Rows(list);
  const make = (words) => () => {
    const row = document.createElement("li");
    row.append(Object.assign(document.createElement("button"), { textContent: words }));
    return row;
  };
  let moved = 0;
  const watch = new MutationObserver((records) => {
    for (const { addedNodes } of records) moved += addedNodes.length;
  });
  watch.observe(list, { childList: true });
  const show = async (...words) => {
    rows.show(words.map((each) => ({ key: each[0], version: each, make: make(each) })));
    await null;
    const seen = [[...list.children].map((row) => row.textContent).join(" "), moved,
      document.activeElement?.textContent ?? ""];
    moved = 0;
    return seen;
  };
  const seen = [await show("a", "b", "c")];
  list.children[1].firstChild.focus();
  seen.push(await show("x", "a", "b", "c"));
  seen.push(await show("c", "x", "b"));
  seen.push(await show("x", "b", "c"));
  seen.push(await show("x2", "b", "c"));
  seen.push(await show());
  return seen;
}"""


async def test_a_row_stays_with_its_focus_as_long_as_what_it_shows(open_page: OpenPage) -> None:
    page = await open_page("/")
    shown = await page.evaluate(ROWS)
    assert [words for words, _, _ in shown] == ["a b c", "x a b c", "c x b", "x b c", "x2 b c", ""]
    assert [moved for _, moved, _ in shown] == [3, 1, 1, 1, 1, 0]
    assert [held for _, _, held in shown[1:5]] == ["b"] * 4
