import pytest

from laundry_service.http.problems import Problem

from .browsers import expect
from .conftest import OpenPage, shortcomings
from .fake_identity import FakeIdentity
from .fake_services import FakeServices

TWICE = "(form) => { form.requestSubmit(); form.requestSubmit(); }"
TAPPED_TWICE = "(button) => { button.click(); button.click(); }"

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_an_owner_invites_a_helper_and_takes_the_right_away(
    open_page: OpenPage, services: FakeServices
) -> None:
    identity = FakeIdentity(services.app)
    identity.add("지점주", "owner", sub="lee")
    page = await open_page(
        "/owner?view=people", role="owner", branches=("gangnam-1",), sub="lee", locale="en-US"
    )
    await expect(page).to_have_title("People · Smart Laundry")
    await expect(page.get_by_text("No invitation is waiting")).to_be_visible()
    await page.get_by_label("Who is it for?").fill("박서준")
    await page.get_by_role("button", name="Make an invitation link").click()
    await expect(page.locator(".invited img")).to_be_visible()
    assert await page.locator(".invited img").evaluate("(image) => image.decode().then(() => true)")
    await expect(page.get_by_label("Invitation link")).to_have_value(
        "https://id.example/invitation/once-only"
    )
    asked = {"role": "helper", "branches": ["gangnam-1"], "note": "박서준"}
    assert identity.asked == [("invite", asked)]
    await page.get_by_role("button", name="Withdraw 박서준").click()
    await expect(page.get_by_text("No invitation is waiting")).to_be_visible()
    helper = identity.add("박서준")
    await page.get_by_label("Find by name or e-mail").fill("박")
    row = page.locator(f'[data-sub="{helper["sub"]}"]')
    await row.get_by_role("button", name="Take the right away").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Back").click()
    await row.get_by_role("button", name="Take the right away").click()
    await dialog.get_by_role("button", name="Take it away").click()
    await expect(page.get_by_text("Nobody was found")).to_be_visible()
    assert [what for what, _ in identity.asked] == ["invite", "withdraw", "remove"]
    # Nobody takes their own right away by mistake.
    await page.get_by_label("Find by name or e-mail").fill("")
    await expect(page.locator('[data-sub="lee"]')).to_be_visible()
    await expect(page.locator('[data-sub="lee"]').get_by_role("button")).to_have_count(0)


async def test_an_operator_makes_a_branch_and_invites_its_owner(
    open_page: OpenPage, services: FakeServices
) -> None:
    identity = FakeIdentity(services.app)
    page = await open_page("/operator?view=people", role="operator", locale="en-US")
    await page.get_by_label("Branch ID").fill("mapo-2")
    await page.get_by_label("Name in Korean").fill("마포 2호점")
    await page.get_by_label("Name in English").fill("Mapo 2")
    await page.get_by_role("button", name="Make the branch").click()
    chip = page.get_by_role("button", name="Mapo 2", exact=True)
    await expect(chip).to_be_visible()
    send = page.get_by_role("button", name="Make an invitation link")
    await send.click()
    await expect(page.get_by_text("Choose at least one branch")).to_be_visible()
    await chip.click()
    await page.get_by_label("Role").select_option("owner")
    await send.click()
    await expect(page.locator(".invited")).to_be_visible()
    await page.get_by_label("Role").select_option("operator")
    await expect(chip).to_be_hidden()
    await send.click()
    # The list below moves while the last of them comes into it.
    await expect(page.locator("ul[aria-label='Open invitations'] > li")).to_have_count(2)
    assert [asked for what, asked in identity.asked if what == "invite"] == [
        {"role": "owner", "branches": ["mapo-2"], "note": ""},
        {"role": "operator", "branches": [], "note": ""},
    ]
    await page.get_by_role("button", name="Rename mapo-2").click()
    await page.get_by_label("Name in English").last.fill("Mapo Station")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("마포 2호점 · Mapo Station")).to_be_visible()


async def test_a_machine_gets_a_secret_that_is_shown_once(
    open_page: OpenPage, services: FakeServices
) -> None:
    identity = FakeIdentity(services.app)
    page = await open_page("/operator?view=equipment", role="operator", locale="en-US")
    await expect(page.get_by_text("No machine has a credential")).to_be_visible()
    await page.get_by_label("Equipment ID").fill("washer-3")
    await page.get_by_role("button", name="Make a credential").click()
    secret = page.get_by_label("Secret", exact=True)
    await expect(secret).to_have_value("first-secret")
    dialog = page.get_by_role("dialog")
    await page.get_by_role("button", name="Replace the secret washer-3").click()
    await dialog.get_by_role("button", name="Replace the secret").click()
    await expect(secret).to_have_value("second-secret")
    await page.get_by_role("button", name="Revoke washer-3").click()
    await dialog.get_by_role("button", name="Revoke").click()
    await expect(page.get_by_text("No machine has a credential")).to_be_visible()
    await expect(secret).to_have_count(0)
    assert [what for what, _ in identity.asked] == ["give", "rotate", "revoke"]


async def test_many_people_come_page_by_page_and_a_refusal_is_told(
    open_page: OpenPage, services: FakeServices
) -> None:
    identity = FakeIdentity(services.app)
    for number in range(120):
        identity.add(f"헬퍼 {number}")
    page = await open_page("/operator?view=people", role="operator", locale="ko-KR")
    rows = page.locator(".entry[data-sub]")
    await expect(rows).to_have_count(50)
    for count in (100, 120):
        # Rows have their height when they are scrolled to, which moves the button between a tap's two halves.
        await page.get_by_role("button", name="더 보기").evaluate("(button) => button.click()")
        await expect(rows).to_have_count(count)
    await expect(page.get_by_role("button", name="더 보기")).to_have_count(0)
    identity.refuse = Problem(409, "last-operator", "This is the last operator.")
    await rows.first.get_by_role("button", name="권한 회수").click()
    await page.get_by_role("dialog").get_by_role("button", name="회수").click()
    await expect(page.get_by_text("마지막 운영자의 권한은 회수할 수 없습니다")).to_be_visible()
    await expect(rows).to_have_count(50)
    assert await shortcomings(page) == {}


async def test_while_identity_is_away_the_view_says_so(open_page: OpenPage, services: FakeServices) -> None:
    identity = FakeIdentity(services.app)
    identity.refuse = Problem(503, "service-away", "Identity is being restarted.")
    page = await open_page("/owner?view=people", role="owner", branches=("gangnam-1",), locale="en-US")
    await expect(page.locator(".trouble")).to_be_visible()
    identity.refuse = None
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("Nobody works here yet")).to_be_visible()


async def test_an_invitation_sent_twice_is_made_once(open_page: OpenPage, services: FakeServices) -> None:
    identity = FakeIdentity(services.app)
    page = await open_page("/owner?view=people", role="owner", branches=("gangnam-1",), locale="en-US")
    await page.get_by_label("Who is it for?").fill("박서준")
    await page.locator("form.invite").evaluate(TWICE)
    await expect(page.locator(".invited")).to_be_visible()
    withdraw = page.get_by_role("button", name="Withdraw 박서준")
    await expect(withdraw).to_be_visible()
    assert [what for what, _ in identity.asked] == ["invite"]
    await withdraw.evaluate(TAPPED_TWICE)
    await expect(page.get_by_text("No invitation is waiting")).to_be_visible()
    await expect(page.locator(".trouble")).to_have_count(0)
    assert [what for what, _ in identity.asked] == ["invite", "withdraw"]


async def test_a_link_stays_when_branches_change_and_when_the_next_is_refused(
    open_page: OpenPage, services: FakeServices
) -> None:
    identity = FakeIdentity(services.app)
    page = await open_page("/operator?view=people", role="operator", locale="en-US")
    invite = page.get_by_role("button", name="Make an invitation link")
    await invite.click()
    link = page.get_by_label("Invitation link")
    await expect(link).to_have_value("https://id.example/invitation/once-only")
    for label, text in (("Branch ID", "mapo-2"), ("Name in Korean", "마포"), ("Name in English", "Mapo")):
        await page.get_by_label(label).fill(text)
    await page.locator("form.invite").last.evaluate(TWICE)
    chip = page.get_by_role("button", name="Mapo", exact=True)
    await expect(chip).to_be_visible()
    await expect(page.get_by_label("Branch ID")).to_have_value("")
    rename = page.get_by_role("button", name="Rename mapo-2")
    await rename.click()
    await page.get_by_label("Name in English").last.fill("Mapo Station")
    await page.locator(".entry form").evaluate(TWICE)
    await expect(page.get_by_role("button", name="Mapo Station")).to_be_visible()
    await expect(rename).to_be_focused()
    assert [what for what, _ in identity.asked] == ["invite", "branch", "rename"]
    await expect(page.locator(".trouble")).to_have_count(0)
    # Nobody chose the first branch: it was the only one.
    await invite.click()
    await expect(page.get_by_text("Choose at least one branch")).to_be_visible()
    await expect(link).to_be_visible()


async def test_a_credential_asked_for_twice_is_made_once_and_its_secret_stays(
    open_page: OpenPage, services: FakeServices
) -> None:
    identity = FakeIdentity(services.app)
    identity.credential("dryer-1", "gangnam-1")
    page = await open_page("/operator?view=equipment", role="operator", locale="en-US")
    machine, form = page.get_by_label("Equipment ID"), page.locator("form.invite")
    await machine.fill("washer-3")
    await form.evaluate(TWICE)
    secret = page.get_by_label("Secret", exact=True)
    await expect(secret).to_have_value("first-secret")
    await expect(page.get_by_role("button", name="Revoke washer-3")).to_be_visible()
    await expect(page.locator(".trouble")).to_have_count(0)
    assert [what for what, _ in identity.asked] == ["give"]
    await expect(machine).to_have_value("")
    await machine.fill("dryer-1")
    await form.evaluate(TWICE)
    await expect(page.get_by_text("This machine has a credential already")).to_be_visible()
    await expect(secret).to_have_value("first-secret")
    dialog = page.get_by_role("dialog")
    await page.get_by_role("button", name="Revoke dryer-1").evaluate(TAPPED_TWICE)
    await dialog.get_by_role("button", name="Revoke").click()
    await expect(page.locator(".entry")).to_have_count(1)
    await expect(secret).to_have_value("first-secret")
    await page.get_by_role("button", name="Replace the secret washer-3").evaluate(TAPPED_TWICE)
    await dialog.get_by_role("button", name="Replace the secret").click()
    await expect(secret).to_have_value("second-secret")
    await expect(page.locator(".trouble")).to_have_count(0)
    assert [what for what, _ in identity.asked] == ["give", "give", "revoke", "rotate"]
