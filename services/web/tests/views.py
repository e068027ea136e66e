"""Every view of the pages, with what there is to see on it.

A new view gets an entry in ``VIEWS``: it is then checked for accessibility and drawn like the others.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from playwright.async_api import Page

from laundry.demo.photos import GARMENTS, draw_garment
from laundry_service.http.problems import Problem

from .browsers import expect
from .fake_identity import FakeIdentity
from .fake_operations import FakeOperations
from .fake_services import FakeServices
from .fake_tasks import Seen

LANGUAGES = ("ko", "en")
THEMES = ("light", "dark")
BRANCHES = ("gangnam-1", "mapo-2")


@dataclass
class World:
    """What is behind the pages."""

    services: FakeServices
    operations: FakeOperations
    identity: FakeIdentity = field(init=False)

    def __post_init__(self) -> None:
        """Let there be branches and people."""
        self.identity = FakeIdentity(self.services.app)


def nothing(_: World) -> None:
    """Let nothing be there."""


async def as_it_opens(_: Page) -> None:
    """Look at it as it opens."""


@dataclass(frozen=True)
class View:
    """One view: where it is, who sees it, and when all of it is there.

    Attributes:
        name: of its pictures' files.
        ready: a selector of what is visible once the view is whole.
        fill: lets there be something to see.
        act: brings the view about, in a page that has just opened, by what does not depend on its language.
    """

    name: str
    path: str
    role: str | None
    ready: str
    fill: Callable[[World], None] = nothing
    act: Callable[[Page], Awaitable[None]] = field(default=as_it_opens)
    branches: tuple[str, ...] = BRANCHES


@cache
def photo_of(label: str) -> bytes:
    """A real photo of a garment from ``LAUNDRY_PHOTOS`` (a folder for each label), else a drawn one."""
    folder = Path(os.environ.get("LAUNDRY_PHOTOS", "")) / label
    found = sorted(folder.glob("*.jpg"))[:1]
    return found[0].read_bytes() if found else draw_garment(label if label in GARMENTS else "t-shirt", seed=5)


def registered(world: World) -> None:
    """Photos in each of their states, two of them of one load."""
    add = world.services.add_task
    gangnam, mapo = BRANCHES
    add(branch_id=gangnam, photo=photo_of("pants"), helper_id="helper-2")
    add("unreadable", branch_id=mapo, photo=photo_of("shoes"), minutes_ago=14)
    add(
        "read",
        labels=[("hat", 0.55), ("shoes", 0.2)],
        needs_review=True,
        branch_id=mapo,
        photo=photo_of("hat"),
        minutes_ago=21,
    )
    for label, share in (("t-shirt", 0.97), ("shorts", 0.91)):
        add(
            "read",
            labels=[(label, share)],
            branch_id=gangnam,
            photo=photo_of(label),
            load_id="load-1",
            note="3층 탈의실",
            minutes_ago=35,
        )
    done = add("read", labels=[("shirt", 0.88)], branch_id=gangnam, photo=photo_of("shirt"), minutes_ago=70)
    world.services.confirmed(done["id"], [("shirt", 2)])


def corrected(world: World) -> None:
    """Photos of the helper that an owner corrected."""
    for read, label in (("dress", "skirt"), ("shirt", "longsleeve")):
        task = world.services.add_task("read", labels=[(read, 0.61)], photo=photo_of(label), minutes_ago=90)
        world.services.confirmed(task["id"], [(label, 1)])


def watched(world: World) -> None:
    """Photos that wait for the owner, and machines, one of them in fault."""
    registered(world)
    for number, kind in enumerate(("washer", "washer", "dryer", "boiler")):
        world.services.add_equipment(f"{kind}-{number + 1}", kind)
    world.services.fault("washer-3", minutes_ago=6)


def handled(world: World) -> None:
    """Faults that nobody has taken, that were passed on, and that somebody takes care of."""
    services = world.services
    states: list[tuple[str, str, dict[str, object]]] = [
        ("washer-3", "washer", {"handling": "escalated", "escalation": 2}),
        ("dryer-1", "dryer", {}),
        (
            "boiler-1",
            "boiler",
            {"handling": "acknowledged", "acknowledged_by": "김민지", "acknowledged_at": services.at(4)},
        ),
    ]
    for number, (name, kind, state) in enumerate(states):
        services.fault(name, kind, minutes_ago=24 - number * 8)["open_faults"][0].update(state)


def certain(world: World) -> None:
    """Two photos that the reader is sure of."""
    for label in ("pants", "t-shirt"):
        world.services.add_task("read", labels=[(label, 0.97)], photo=photo_of(label), minutes_ago=9)


def several(world: World) -> None:
    """A photo of several garments, to be counted."""
    garments: list[Seen] = [("shirt", 0.9, 2), ("pants", 0.6)]
    world.services.add_task("read", labels=garments, multiple=True, photo=photo_of("shirt"), minutes_ago=60)


def at_work(world: World) -> None:
    """Models, and training runs in their states."""
    models = world.services.models
    running = models.run("running")
    models.note(running["id"], "1,490 examples; 3 photos are missing")
    reasons = ["frozen holdout: 461 of 531 right, 9 more than m-1"]
    models.run("failed", error="Too few examples: 3 to learn from")
    models.run("succeeded", model_version="m-2", progress=1, decision={"promoted": True, "reasons": reasons})


def dead(world: World) -> None:
    world.operations.letters = 3


def away(world: World) -> None:
    """Lists that cannot be fetched."""
    world.services.refuse["tasks"] = Problem(503, "service-away", "The helper service is being restarted.")


def staffed(world: World) -> None:
    """People and invitations of two branches."""
    identity = world.identity
    identity.branches.append(identity.branch("mapo-2", "마포 2호점", "Mapo 2"))
    for name, role in (("김민지", "owner"), ("박서준", "helper"), ("Ana de la Cruz", "helper")):
        identity.add(name, role)
    identity.invited("helper", BRANCHES, "월요일 오전 담당")


def equipped(world: World) -> None:
    for name in ("washer-3", "dryer-1"):
        world.identity.credential(name, BRANCHES[0])


async def invite(page: Page) -> None:
    """Make an invitation link."""
    await page.locator(".invite .chip").first.click()
    await page.locator(".invite button[type=submit]").first.click()


async def replace_secret(page: Page) -> None:
    """Replace the secret of a machine."""
    await page.locator(".entry-actions button").first.click()
    await page.locator("dialog button[type=submit]").click()


def confirmed_before(world: World) -> None:
    """Laundry that was confirmed, as read and corrected."""
    gangnam, mapo = BRANCHES
    notes = {"shirt": "3층 탈의실", "hat": None}
    for label, branch in (("shirt", gangnam), ("hat", mapo), ("pants", gangnam)):
        task = world.services.add_task(
            "read",
            labels=[("shirt", 0.8)],
            photo=photo_of(label),
            branch_id=branch,
            note=notes.get(label),
            minutes_ago=600,
        )
        world.services.confirmed(task["id"], [(label, 2)])


def washed(world: World) -> None:
    """Four weeks of laundry."""
    for day in range(28):
        label = ("t-shirt", "shorts", "pants", "longsleeve")[day % 4]
        pieces = 14 + (day * 7) % 23
        world.services.history.wash(
            day, label, pieces=pieces, loads=pieces // 2, corrected=0 if day % 3 else pieces // 9
        )


def tasteful(world: World) -> None:
    """A customer who has said what matters, and two branches that suit."""
    customers = world.services.customers
    customers.taste = {"quiet": 1.0, "sauna": 0.6, "roof_garden": 0.3}
    customers.own_tags = [{"tag": "옥상", "group": None, "ko": None, "en": None, "branches": 1}]
    customers.suit("gangnam-1", quiet=(1, 0.9), sauna=(0.6, 0.3))
    customers.suit("mapo-2", sauna=(0.6, 1))


def stated(world: World) -> None:
    """What a branch has said of itself."""
    state = world.services.customers.state
    state(
        BRANCHES[0],
        "새벽 다섯 시, 조용한 사우나",
        "출근 전에 들러 보세요. 수건은 저희가 챙깁니다.",
        quiet=1.0,
        sauna=0.6,
    )
    state(BRANCHES[0], "옥상 정원이 열렸습니다", "가을까지 밤 열 시에 닫습니다.", 옥상=1.0, parking=0.3)


async def choose_tags(page: Page) -> None:
    """Choose two of what a branch may be like."""
    for tag in ("quiet", "parking"):
        await page.locator(f"[data-tag={tag}]").click()


def told(world: World) -> None:
    """A customer who agreed to be told, and was."""
    world.services.customers.consent = {"given": True, "changed_at": "2026-03-09T03:00:00Z"}
    world.services.customers.tell(world.services, minutes_ago=200)
    world.services.customers.tell(world.services)


async def confirm(page: Page) -> None:
    """Confirm what is on the card."""
    await page.locator("[data-do=confirm]:not([disabled])").click()


async def ask_keys(page: Page) -> None:
    """Ask for the keys."""
    await page.locator(".filters .icon-only").click()


async def ask_erasure(page: Page) -> None:
    """Be asked whether everything is to be deleted."""
    await page.locator(".danger").click()


async def open_details(page: Page) -> None:
    """Open every part that opens, and again those that news has drawn since."""
    await page.wait_for_function(
        """() => {
          const parts = [...document.querySelectorAll("details")];
          const closed = parts.filter((each) => !each.open);
          for (const each of closed) each.open = true;
          return parts.length > 0 && closed.length === 0;
        }""",
        polling=500,
    )


async def correct(page: Page) -> None:
    """Correct the reading on the card."""
    await page.locator(".confirm-actions .secondary").click()


async def wait_offline(page: Page) -> None:
    """Take a photo without a connection."""
    await page.context.set_offline(True)
    await page.locator("input[capture]").first.set_input_files(
        {"name": "IMG_0001.jpg", "mimeType": "image/jpeg", "buffer": photo_of("outwear")}
    )


async def open_letter(page: Page) -> None:
    """Look at a dead letter, about to send it back."""
    await expect(page.locator(".dead-buttons button").first).to_be_visible()
    await open_details(page)
    await page.locator(".dead-letters button").first.click()
    await page.locator(".dead-letter .dead-buttons button").first.click()


async def ask_promotion(page: Page) -> None:
    """Be asked whether a model is to be promoted."""
    await page.locator(".model .secondary").last.click()


VIEWS = (
    View("start", "/", None, ".sign-in"),
    View("privacy", "/privacy", None, "article"),
    View("unsubscribed", "/unsubscribe#key", None, ".empty"),
    View("helper", "/helper", "helper", ".load", registered),
    View("helper-offline", "/helper", "helper", ".load[data-status=waiting]", act=wait_offline),
    View("helper-empty", "/helper", "helper", ".empty"),
    View("helper-away", "/helper", "helper", ".trouble", away),
    View("helper-corrections", "/helper", "helper", ".corrections .load", corrected, open_details),
    View("owner", "/owner", "owner", ".confirm-actions .primary:not([disabled])", watched),
    View("owner-correcting", "/owner", "owner", "[data-mode=correcting] .chip", watched, correct),
    View("owner-several", "/owner", "owner", "[data-mode=correcting] .chip", several),
    View("owner-empty", "/owner", "owner", ".stage .empty"),
    View("owner-undo", "/owner", "owner", ".undo button", certain, confirm),
    View("owner-keys", "/owner", "owner", "dialog[open]", watched, ask_keys),
    View("owner-history", "/owner?view=history", "owner", ".past .load img", confirmed_before),
    View("owner-history-empty", "/owner?view=history", "owner", ".past-view .empty"),
    View("owner-washed", "/owner?view=washed", "owner", ".columns", washed, open_details),
    View("owner-washed-empty", "/owner?view=washed", "owner", ".washed .empty"),
    View("owner-offer", "/owner?view=offer", "owner", "[data-preference]", stated, choose_tags),
    View("owner-offer-empty", "/owner?view=offer", "owner", ".offer .empty"),
    View("customer", "/customer", "customer", ".branch", tasteful),
    View("customer-empty", "/customer", "customer", ".likes .empty"),
    View("customer-told", "/customer?view=told", "customer", ".told .alerts li", told),
    View("customer-told-empty", "/customer?view=told", "customer", ".told .empty"),
    View("person", "/customer?view=me", "customer", ".danger"),
    View("person-erase", "/customer?view=me", "customer", "dialog[open]", act=ask_erasure),
    View("operator-models", "/operator?view=models", "operator", ".model", at_work),
    View("operator-models-opened", "/operator?view=models", "operator", ".lineage", at_work, open_details),
    View("operator-promotion", "/operator?view=models", "operator", "dialog[open]", at_work, ask_promotion),
    View("owner-people", "/owner?view=people", "owner", ".entry[data-sub]", staffed),
    View("owner-invited", "/owner?view=people", "owner", ".invited img", staffed, invite),
    View("operator-people", "/operator?view=people", "operator", ".entry[data-sub]", staffed),
    View("operator-people-empty", "/operator?view=people", "operator", ".people .empty"),
    View("operator-equipment", "/operator?view=equipment", "operator", ".entry", equipped),
    View("operator-secret", "/operator?view=equipment", "operator", ".invited", equipped, replace_secret),
    View("operator-faults", "/operator?view=faults", "operator", ".alerts li", handled),
    View("operator-faults-empty", "/operator?view=faults", "operator", ".faults .empty"),
    View("operator-queues", "/operator?view=queues", "operator", ".dead-buttons button", dead),
    View("operator-letter", "/operator?view=queues", "operator", "#dead-why", dead, open_letter),
)


async def brought_about(page: Page, view: View) -> None:
    """Bring a view about on an open page, and wait until it is whole and still."""
    await view.act(page)
    await expect(page.locator(view.ready).first).to_be_visible()
    await page.evaluate(
        """async () => {
          await Promise.allSettled(document.getAnimations()
            .filter((each) => each.effect?.getComputedTiming().iterations !== Infinity)
            .map((each) => each.finished));
          await Promise.allSettled([...document.images].map((each) => each.decode()));
        }"""
    )


async def looks(page: Page, view: View, *pairs: tuple[str, str]) -> AsyncIterator[tuple[str, str]]:
    """Show a view of an open page in pairs of language and theme, one after the other."""
    for language, theme in pairs:
        await page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        if await page.evaluate("document.documentElement.lang") != language:
            # This redraws the page.
            await page.evaluate("document.querySelector('dialog[open]')?.close()")
            await page.locator(f".bar button[lang={language}], nav a[lang={language}]").first.click()
            await brought_about(page, view)
        yield language, theme
