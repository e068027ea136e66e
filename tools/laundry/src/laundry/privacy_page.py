"""What the page about personal data tells: ``docs/privacy.ko.md`` and ``privacy.en.md`` as HTML."""

from markdown_it import MarkdownIt

from laundry.paths import PROJECT

FILE = PROJECT / "services/web/src/web/static/privacy-notices.html"
NOTICES = {"ko": PROJECT / "docs/privacy.ko.md", "en": PROJECT / "docs/privacy.en.md"}
MADE = "<!-- Made from docs/privacy.ko.md and docs/privacy.en.md by `make contracts`. -->\n"


def text() -> str:
    """Return both notices; the page around them is ``privacy.html`` beside the file."""
    # Raw HTML in a notice stays text.
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    return MADE + "".join(
        f'<article id="{language}" lang="{language}">\n{markdown.render(file.read_text())}</article>\n'
        for language, file in NOTICES.items()
    )
