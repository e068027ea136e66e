"""The style sheets and the icon that all pages share."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
"""The folder of the files."""

SHEETS = ("base.css", "controls.css", "start.css")
"""The style sheets, in the order in which they count."""

__all__ = ["SHEETS", "STATIC"]
