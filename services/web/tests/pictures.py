"""``make pages``: draws every view into ``build/pages``, checks it, and measures what opens offline.

The real web service and the real pages, in front of services that are played (``fake_services.py``): so what
is to be seen is the same each time, a fault or a dead letter included.
"""

import asyncio
import html
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from .browsers import DESKTOP, PHONE, Engine, expect
from .conftest import OpenPage
from .fake_operations import FakeOperations
from .fake_pictures import picture
from .fake_services import FakeServices
from .test_accessibility_in_browser import violations
from .views import LANGUAGES, THEMES, VIEWS, View, World, brought_about, looks

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FOLDER = Path(__file__).parents[3] / "build" / "pages"
SIZES = {390: PHONE, 1280: DESKTOP}
LONGEST_PX = 2600
OFFLINE_PAINT_MS = 300
LONG = 10_000
MORE = 100
STORM = 200
FIGURES = FOLDER / "figures.json"
# What the README shows of them, as it is on a screen: its name there, by view, width, language and theme.
README = {
    ("helper", 390, "en", "light"): "helper",
    ("owner-washed", 390, "ko", "light"): "owner",
    ("customer", 390, "en", "dark"): "customer",
    ("operator-models", 1280, "en", "light"): "operator",
}


# "Opening…" is painted first; what a helper waits for is the button.
WHEN_SHOWN = """
  new MutationObserver(() => {
    if (document.querySelector(".shutter")) window.shownAt ??= performance.now();
  }).observe(document, { childList: true, subtree: true });
"""


PAINTED = """() => new Promise((resolve) => {
  new PerformanceObserver((list) => {
    const [paint] = list.getEntriesByName("first-contentful-paint");
    if (paint) resolve([paint.startTime, window.shownAt]);
  }).observe({ type: "paint", buffered: true });
})"""


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def engine(chromium: Engine) -> Engine:
    """Pictures are of Chromium."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return chromium


def noted(**figures: float) -> None:
    """Keep what was measured beside the pictures."""
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.write_text(json.dumps(known | figures, indent=2))
    index()


STYLE = """
body { font: 16px system-ui; margin: 2rem }
img { max-width: 100%; border: 1px solid #ccc }
div { display: grid; gap: 1rem; grid-template-columns: repeat(4, 1fr) }
figure { margin: 0 }
"""


def index() -> None:
    """Write the sheet of all pictures."""
    rows = []
    # The identity service's are drawn by its own tests.
    others = {each.name.rpartition("-390-")[0] for each in FOLDER.glob("identity-*-390-*.webp")}
    for name in (*(view.name for view in VIEWS), *sorted(others)):
        for width in SIZES:
            shots = "".join(
                f'<figure><a href="{each.name}"><img loading=lazy src="{each.name}" alt=""></a>'
                f"<figcaption>{html.escape(each.stem)}</figcaption></figure>"
                for each in sorted(FOLDER.glob(f"{name}-{width}-*.webp"))
            )
            rows.append(f"<h2>{html.escape(name)}, {width} px</h2><div>{shots}</div>")
    figures = html.escape(FIGURES.read_text()) if FIGURES.exists() else ""
    (FOLDER / "index.html").write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Pages</title><style>{STYLE}</style>"
        f"<h1>Pages</h1><pre>{figures}</pre>{''.join(rows)}"
    )


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_draw(open_page: OpenPage, services: FakeServices, view: View) -> None:
    view.fill(World(services, FakeOperations(services.app, letters=0)))
    page = await open_page(view.path, role=view.role, branches=view.branches, locale="ko-KR")
    await brought_about(page, view)
    faults = []
    async for language, theme in looks(
        page, view, *((each, theme) for each in LANGUAGES for theme in THEMES)
    ):
        for width, size in SIZES.items():
            await page.set_viewport_size({"width": size["width"], "height": size["height"]})
            await brought_about(page, View(view.name, view.path, view.role, view.ready))
            shot = await page.screenshot(full_page=True)
            with Image.open(io.BytesIO(shot)) as image:
                shown = image.crop((0, 0, image.width, min(image.height, LONGEST_PX)))
                shown.save(FOLDER / f"{view.name}-{width}-{language}-{theme}.webp", quality=82, method=3)
            if name := README.get((view.name, width, language, theme)):
                (FOLDER / "readme").mkdir(exist_ok=True)
                with Image.open(io.BytesIO(await page.screenshot())) as image:
                    image.save(FOLDER / "readme" / f"{name}.webp", quality=82, method=6)
            faults += [(language, theme, width, fault) for fault in await violations(page)]
        await page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    index()
    assert faults == []


async def test_the_helpers_page_opens_offline_from_the_phones_own_store(
    open_page: OpenPage, services: FakeServices
) -> None:
    page = await open_page("/helper", role="helper", script=WHEN_SHOWN, kept=True)
    await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    await page.reload()
    await expect(page.locator(".empty")).to_be_visible()
    await page.context.set_offline(True)
    times = []
    for _ in range(5):
        await page.reload()
        await expect(page.locator(".shutter")).to_be_visible()
        times.append(await page.evaluate(PAINTED))
    paint, shown = (sorted(each)[len(times) // 2] for each in zip(*times, strict=True))
    noted(offline_first_paint_ms=round(paint), offline_camera_button_ms=round(shown))
    assert paint <= OFFLINE_PAINT_MS, times


FRAMES = """async () => {
  const element = document.scrollingElement;
  let slowest = 0;
  let before = performance.now();
  for (let step = 0; step <= 60; step += 1) {
    element.scrollTop = (element.scrollHeight * step) / 60;
    await new Promise((resolve) => requestAnimationFrame(resolve));
    const now = performance.now();
    slowest = Math.max(slowest, now - before);
    before = now;
  }
  return slowest;
}"""


def many_tasks(services: FakeServices) -> None:
    photo = picture(size=(90, 120))
    for number in range(LONG):
        services.add_task("read", labels=[("hat", 0.9)], photo=photo, minutes_ago=number)


def many_machines(services: FakeServices) -> None:
    for number in range(LONG):
        services.add_equipment(f"washer-{number:05}")


@pytest.mark.parametrize(
    ("name", "path", "role", "fill", "row", "most"),
    [
        ("helper", "/helper", "helper", many_tasks, ".history > .loads > li", LONG),
        # The owner's next five hundred: the others follow as these are confirmed.
        ("waiting", "/owner", "owner", many_tasks, ".strip > li", 500),
        ("equipment", "/owner", "owner", many_machines, ".equipment > li", LONG),
    ],
)
async def test_a_list_of_10000_is_quick(
    open_page: OpenPage,
    services: FakeServices,
    name: str,
    path: str,
    role: str,
    fill: Callable[[FakeServices], None],
    row: str,
    most: int,
) -> None:
    fill(services)
    page = await open_page(path, role=role)
    began = time.perf_counter()
    await page.reload()
    await expect(page.locator(row).first).to_be_visible()
    shown = time.perf_counter() - began
    # All of a list that comes page by page.
    more = page.locator(".more > button.secondary")
    rows = await page.locator(row).count()
    while role == "helper" and rows < LONG:
        await more.evaluate("(button) => button.click()")
        rows = min(LONG, rows + MORE)
        await expect(page.locator(row)).to_have_count(rows)
    await expect(page.locator(row)).to_have_count(most)
    slowest = await page.evaluate(FRAMES)
    rows = await page.locator(row).count()
    noted(
        **{
            f"list_{name}_rows": rows,
            f"list_{name}_first_shown_ms": round(shown * 1000),
            f"list_{name}_slowest_frame_ms": round(slowest),
        }
    )


async def test_what_a_storm_costs_an_open_page(open_page: OpenPage, services: FakeServices) -> None:
    for number in range(STORM):
        services.add_equipment(f"washer-{number:03}")
    page = await open_page("/owner", role="owner", desktop=True)
    await expect(page.locator(".equipment > li")).to_have_count(STORM)
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable")

    async def processor_s() -> float:
        metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
        return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))

    before = await processor_s()
    for number in range(STORM):
        services.fault(f"washer-{number:03}")
        # As they come, and not all in one breath.
        await asyncio.sleep(0.01)
    await expect(page.locator(".equipment > li[data-state=faulty]")).to_have_count(STORM)
    await expect(page.locator(".banner")).to_have_count(STORM)
    noted(storm_of_200_faults_processor_ms=round((await processor_s() - before) * 1000))
