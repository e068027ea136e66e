"""The page that tells people what is kept of them: ``docs/privacy.ko.md`` and ``privacy.en.md`` as HTML."""

from markdown_it import MarkdownIt

from laundry.paths import PROJECT

FILE = PROJECT / "services/web/src/web/static/privacy.html"
NOTICES = {"ko": PROJECT / "docs/privacy.ko.md", "en": PROJECT / "docs/privacy.en.md"}
PAGE = """\
<!doctype html>
<html lang="ko">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>개인정보 처리 안내 · Your personal data</title>
    <link rel="icon" href="/static/icon.svg" type="image/svg+xml" />
    <link rel="stylesheet" href="/static/css/base.css" />
    <link rel="stylesheet" href="/static/privacy.css" />
  </head>
  <body>
    <!-- Made from docs/privacy.ko.md and docs/privacy.en.md by `make contracts`. -->
    <nav>
      <a href="#ko" lang="ko">한국어</a> · <a href="#en" lang="en">English</a> ·
      <a href="/">스마트 세탁 <span lang="en">Smart Laundry</span></a>
    </nav>
    <main>
{notices}
    </main>
  </body>
</html>
"""


def text() -> str:
    """Return the HTML of the page with both notices."""
    # Raw HTML in a notice stays text.
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    notices = [
        f'    <article id="{language}" lang="{language}">\n{markdown.render(file.read_text())}    </article>'
        for language, file in NOTICES.items()
    ]
    return PAGE.format(notices="\n".join(notices))
