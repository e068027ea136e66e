import json
import re
import struct
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

import laundry_look
from laundry_testing.serving import serving
from web.app import create_app
from web.files import COMMENT, STATIC, sources, without_comments
from web.pages import CONTENT_SECURITY_POLICY, FOR_GOOD, NOT_KEPT, ROLES, FrontEnd, front_end

from .conftest import settings_for

# All dictionaries are JavaScript objects of one string a line.
ENTRY = re.compile(r'^  "([^"]+)":\s+"(.*)",$', re.MULTILINE)
TEXTS = "js/texts/"
PLURALS = (".one", ".few", ".many")


def texts(language: str) -> dict[str, str]:
    return dict(entries(language))


def entries(language: str) -> list[tuple[str, str]]:
    """The keys and texts of a language, in all its files."""
    files = sorted((STATIC / "js" / "texts").glob(f"*{language}.js"))
    return [entry for file in files for entry in ENTRY.findall(file.read_text())]


def scripts() -> list[Path]:
    return sorted((STATIC / "js").rglob("*.js"))


@pytest.mark.parametrize("path", ["/", "/helper", "/owner", "/customer", "/unsubscribe"])
async def test_pages_are_strict_about_what_they_load(path: str) -> None:
    async with serving(create_app(settings_for("http://127.0.0.1:9"))) as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self' blob:"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=|https?://", answer.text)


async def test_what_is_kept_of_people_can_be_read_by_everybody() -> None:
    async with serving(create_app(settings_for("http://127.0.0.1:9"))) as client:
        answer = await client.get("/privacy")
    assert answer.status_code == 200
    assert "개인정보 처리 안내" in answer.text and "Your personal data" in answer.text
    assert not re.search(r"<script|<style|\son\w+=|\sstyle=|https?://", answer.text)
    assert "'unsafe" not in answer.headers["content-security-policy"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with serving(create_app(settings_for("http://127.0.0.1:9"))) as client:
        yield client


@pytest.mark.asyncio(loop_scope="module")
async def test_unchanged_files_are_not_sent_again_and_problems_are_documents(
    client: httpx.AsyncClient,
) -> None:
    for path in (
        "/static/js/main.js",
        "/helper",
        "/owner?view=history",
        "/sw.js",
        "/unsubscribe",
        "/privacy",
    ):
        first = await client.get(path)
        again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
        changed = await client.get(path, headers={"If-None-Match": 'W/"another"'})
        assert first.headers["cache-control"] == again.headers["cache-control"] == "no-cache"
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert changed.content == first.content
    missing = await client.get("/static/js/none.js")
    outside = await client.send(
        httpx.Request("GET", client.base_url.copy_with(raw_path=b"/static/../app.py"))
    )
    assert missing.status_code == outside.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"
    assert (await client.get("/livez")).json() == {"status": "ok"}


@pytest.mark.asyncio(loop_scope="module")
async def test_what_has_its_content_in_its_address_is_kept_for_good(client: httpx.AsyncClient) -> None:
    front = front_end()
    for path, file in front.files.items():
        versioned = await client.get(f"/static/{front.version}/{path}")
        assert versioned.content == file.content, path
        assert versioned.headers["cache-control"] == FOR_GOOD
    # Of a version that this replica has not, it answers what it has, and nobody keeps that.
    other = await client.get(f"/static/{'0' * 16}/js/main.js")
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-cache")
    head = await client.head(f"/static/{front.version}/js/main.js")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.asyncio(loop_scope="module")
async def test_compressed_or_not_the_content_is_the_same(client: httpx.AsyncClient) -> None:
    version = front_end().version
    for path in ("/", "/sw.js", f"/static/{version}/pages.css", f"/static/{version}/js/main.js"):
        packed = await client.get(path, headers={"Accept-Encoding": "br, gzip"})
        plain = await client.get(path, headers={"Accept-Encoding": "identity"})
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert packed.content == plain.content
        assert int(packed.headers["content-length"]) < 0.6 * int(plain.headers["content-length"]), path
        # Weak: the same of both.
        assert packed.headers["etag"] == plain.headers["etag"]
        for answer in (packed, plain):
            assert "Accept-Encoding" in answer.headers["vary"]
    picture = await client.get("/static/icon-512.png")
    assert "content-encoding" not in picture.headers


def test_scripts_are_sent_without_their_comments_and_with_all_of_their_code() -> None:
    script = b"""// What it is.

/**
 * Add.
 *
 * @param {number} one
 */
export function add(one, two) {
  // Why.
  const address = "https://example"; // stays
  return one /* stays */ + two;
}
"""
    sent = without_comments(script)
    code = [b"export function add(one, two) {", b'  const address = "https://example"; // stays']
    assert [line for line in sent.splitlines() if line][:2] == code
    assert b"Why" not in sent and b"@param" not in sent and b"/* stays */" in sent
    assert sent.count(b"\n") == script.count(b"\n")
    for file in scripts():
        text = file.read_bytes()
        for comment in COMMENT.finditer(text):
            # Not the part of a text that looks like one.
            assert text[: comment.start()].count(b"`") % 2 == 0, (file, comment[0])


@pytest.mark.asyncio(loop_scope="module")
async def test_documents_and_workers_are_bound_and_parts_know_their_type(client: httpx.AsyncClient) -> None:
    version = front_end().version
    for path in ("/", "/sw.js", "/nothing", "/static/icon.svg", f"/static/{version}/js/shrink-worker.js"):
        answer = await client.get(path)
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY, path
    for path in (f"/static/{version}/js/main.js", "/static/pages.css"):
        answer = await client.get(path)
        assert "content-security-policy" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def named(document: bytes) -> list[str]:
    """The modules that a document names, by their files."""
    links = re.findall(r'<link rel="modulepreload" href="([^"]+)"', document.decode())
    prefix = f"/static/{front_end().version}/"
    assert all(link.startswith(prefix) for link in links)
    return [link.removeprefix(prefix) for link in links]


def imports(name: str) -> set[str]:
    """Everything that a script imports at once, itself and by what it imports; texts are inside of one."""
    found, rest = set(), [name]
    while rest:
        name = rest.pop()
        found.add(name)
        file = STATIC / name
        # By another rule than the service's: whatever follows `from` is imported.
        for path in re.findall(r'(?:\bfrom|^import) "(\.[^"]+)"', file.read_text(), re.MULTILINE):
            rest += {str((file.parent / path).resolve().relative_to(STATIC))} - found
    return {name for name in found if not name.startswith(TEXTS)}


def test_a_document_names_exactly_the_modules_that_its_page_opens_with() -> None:
    front = front_end()
    main = imports("js/main.js")
    assert set(named(front.page(None, None).content)) == main
    for role in ROLES:
        page = imports(f"js/{role}-page.js")
        views = {view: named(front.page(role, view).content) for view in front.modules.views_of(role)}
        first = named(front.page(role, None).content)
        assert first == next(iter(views.values()), first)
        assert named(front.page(role, "none-such").content) == first
        for modules in (first, *views.values()):
            assert len(modules) == len(set(modules))
            assert set(modules) >= main | page
    # A view's own modules, and no other view's.
    history = named(front.page("owner", "history").content)
    assert set(history) == main | imports("js/owner-page.js") | imports("js/history-view.js")
    assert front.modules.views_of("operator") == ["models", "queues", "faults", "people", "equipment"]


def test_texts_come_inside_of_the_script_that_takes_them() -> None:
    files = front_end().files
    sent = files["js/texts.js"].content.decode()
    assert TEXTS.removeprefix("js/") not in sent
    for language in ("ko", "en"):
        assert all(f'  "{key}":' in sent for key, _ in entries(language))
        # A page of the release before asks for them during a rolling update.
        assert f"{TEXTS}{language}.js" in files


def test_a_module_that_is_not_there_stops_the_service() -> None:
    files = sources()
    del files["js/dom.js"]
    with pytest.raises(KeyError, match=r"js/dom\.js"):
        FrontEnd(files)


def test_any_change_changes_the_addresses() -> None:
    files = sources()
    assert FrontEnd(files).version == front_end().version
    for path in ("js/dom.js", "css/base.css", "index.html", "sw.js"):
        changed = FrontEnd({**files, path: files[path] + b"\n"})
        assert changed.version != front_end().version
        assert changed.service_worker.content != front_end().service_worker.content


def test_both_languages_say_the_same_things() -> None:
    korean, english = texts("ko"), texts("en")
    singular = {key for key in english if key.endswith(PLURALS)}
    assert set(english) - singular == set(korean)
    for key in korean:
        places = set(re.findall(r"\{\w+\}", korean[key]))
        assert places == set(re.findall(r"\{\w+\}", english[key])), key


def test_every_key_in_the_scripts_has_a_text() -> None:
    used = {key for file in scripts() for key in re.findall(r'\bt\(\s*"([^"]+)"', file.read_text())}
    assert len(used) > 60
    assert used <= set(texts("ko"))


def test_dictionary_keys_are_unique() -> None:
    for language in ("ko", "en"):
        keys = [key for key, _ in entries(language)]
        assert all(one != other for one, other in pairwise(sorted(keys)))


def test_the_service_worker_keeps_every_file_that_is_served() -> None:
    front = front_end()
    worker = front.service_worker.content.decode()
    kept = re.findall(r'^  "([^"]+)",$', worker, re.MULTILINE)
    assert f'const VERSION = "{front.version}";' in worker
    # One sheet has all the others in it, and one script all texts.
    wanted = {path for path in front.files if not path.startswith(("css/", TEXTS))} - NOT_KEPT
    assert set(kept) == wanted > {"pages.css", "icon.svg", "js/main.js"}
    assert len(kept) == len(set(kept))
    assert NOT_KEPT.isdisjoint(set(front.files) - {"privacy.css"})


def test_every_style_sheet_is_in_the_one_that_is_loaded() -> None:
    front = front_end()
    sheet = front.files["pages.css"].content.decode()
    sheets = [text.decode() for path, text in sources().items() if path.startswith("css/")]
    assert len(sheets) > len(laundry_look.SHEETS)
    assert all(each in sheet for each in sheets)
    for document in (front.page(None, None), front.unsubscribe):
        links = re.findall(r'rel="stylesheet" href="([^"]+)"', document.content.decode())
        assert links == [f"/static/{front.version}/pages.css"]


def test_the_pages_can_be_installed() -> None:
    manifest = json.loads((STATIC / "app.webmanifest").read_text())
    assert (manifest["id"], manifest["start_url"], manifest["display"]) == ("/", "/", "standalone")
    assert {each["url"] for each in manifest["shortcuts"]} == {"/helper", "/owner", "/operator"}
    drawn = [*manifest["icons"], *(icon for each in manifest["shortcuts"] for icon in each["icons"])]
    for icon in drawn:
        file = STATIC / icon["src"].removeprefix("/static/")
        if icon["type"] == "image/png":
            # Width and height stand in the first chunk (PNG, section 11.2.2).
            assert "x".join(map(str, struct.unpack(">2I", file.read_bytes()[16:24]))) == icon["sizes"]
    offered = {(icon["sizes"], icon["purpose"]) for icon in manifest["icons"]}
    assert {("192x192", "any"), ("512x512", "any"), ("512x512", "maskable")} <= offered


async def test_browsers_are_bound_to_tls_only_where_it_is_spoken() -> None:
    url = "http://127.0.0.1:9"
    https = {"X-Forwarded-Proto": "https"}
    async with serving(create_app(settings_for(url))) as client:
        assert "strict-transport-security" not in (await client.get("/")).headers
        # A page, a static file, an error and a service's answer alike.
        for path in ("/", "/static/icon.svg", "/nothing", "/api/helper/tasks"):
            answer = await client.get(path, headers=https)
            assert answer.headers["strict-transport-security"] == "max-age=31536000", path
    async with serving(create_app(settings_for(url, trusted_proxies=""))) as client:
        assert "strict-transport-security" not in (await client.get("/", headers=https)).headers
    async with serving(create_app(settings_for(url, public_https=True))) as client:
        assert "strict-transport-security" in (await client.get("/")).headers
        assert (await client.get("/metrics")).status_code == 404
