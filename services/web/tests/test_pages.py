import json
import re
import struct
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from laundry_testing.serving import serving
from web.app import create_app
from web.pages import ROLES, STATIC, STYLES, document, stylesheet

from .conftest import settings_for

# All dictionaries are JavaScript objects of one string a line.
ENTRY = re.compile(r'^  "([^"]+)":\s+"(.*)",$', re.MULTILINE)
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


async def test_unchanged_files_are_not_sent_again_and_problems_are_documents() -> None:
    async with serving(create_app(settings_for("http://127.0.0.1:9"))) as client:
        first = await client.get("/static/js/main.js")
        again = await client.get("/static/js/main.js", headers={"If-None-Match": first.headers["etag"]})
        missing = await client.get("/static/js/none.js")
        outside = await client.send(
            httpx.Request("GET", client.base_url.copy_with(raw_path=b"/static/../app.py"))
        )
        document = await client.get("/helper")
        document_again = await client.get("/helper", headers={"If-None-Match": document.headers["etag"]})
        alive = await client.get("/livez")
    assert first.headers["content-type"].startswith("text/javascript")
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["cache-control"] == "no-cache"
    assert again.status_code == document_again.status_code == 304
    assert missing.status_code == outside.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"
    assert alive.json() == {"status": "ok"}


def test_the_document_names_every_module_that_is_imported() -> None:
    def named(role: str | None) -> list[str]:
        return re.findall(r'<link rel="modulepreload" href="([^"]+)"', document(role).decode())

    roles = [named(role) for role in (None, *ROLES)]
    assert all(len(each) == len(set(each)) for each in roles)
    imported = {
        str((file.parent / path).resolve().relative_to(STATIC))
        for file in scripts()
        for path in re.findall(r'(?:from|import)\s+\(?"(\.[^"]+)"', file.read_text())
    }
    pages = {f"/static/js/{role}-page.js" for role in ROLES}
    wanted = {f"/static/{path}" for path in imported} | {"/static/js/main.js"} | pages
    assert set().union(*roles) == wanted
    # Nobody is made to fetch another one's page.
    assert all(len(pages & set(each)) <= 1 for each in roles)


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


def test_the_service_worker_keeps_every_file() -> None:
    kept = set(re.findall(r'^  "(/static/[^"]+)",$', (STATIC / "sw.js").read_text(), re.MULTILINE))
    files = {f"/static/{file.relative_to(STATIC)}" for file in STATIC.rglob("*") if file.is_file()}
    # The notice is read once, and with a signal.
    sheets = {file for file in files if file.endswith(".css")}
    made = sheets | {"/static/sw.js", "/static/index.html", "/static/privacy.html"}
    assert kept == files - made | {STYLES}


def test_every_style_sheet_is_in_the_one_that_is_loaded() -> None:
    sheet = stylesheet().decode()
    sheets = list((STATIC / "css").glob("*.css"))
    assert all(file.read_text() in sheet for file in sheets)
    assert re.findall(r'rel="stylesheet" href="([^"]+)"', document().decode()) == [STYLES]


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
