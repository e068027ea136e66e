"""Draws the icons of the installed pages from ``icon.svg``: run it after a change of the drawing."""

import re
from pathlib import Path

import pyvips

import laundry_look

STATIC = Path(__file__).parent / "src" / "web" / "static"
SIDE = 64
# Of a maskable icon only a circle of 80 % of its width is sure to be seen.
SAFE = 0.8


def draw(svg: str, size: int, file: Path) -> None:
    """Draw at a size in pixels."""
    image = pyvips.Image.svgload_buffer(svg.encode(), scale=size / SIDE)
    image.pngsave(str(file), compression=9, palette=True, strip=True)


def main() -> None:
    """Draw each icon that the manifest names."""
    plain = (laundry_look.STATIC / "icon.svg").read_text()
    strokes = re.search(r"<g .*</g>", plain, re.DOTALL)
    assert strokes, "the drawing is one group of strokes on a square"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}">'
    inset = SIDE * (1 - SAFE) / 2
    square = re.sub(r' rx="\d+"', "", plain[plain.index("<rect") : plain.index("/>") + 2])
    masked = f'{head}{square}<g transform="translate({inset} {inset}) scale({SAFE})">{strokes[0]}</g></svg>'
    white = f"{head}{strokes[0]}</svg>".replace("#fffdf8", "#ffffff")
    for size in (192, 512):
        draw(plain, size, STATIC / f"icon-{size}.png")
    draw(masked, 512, STATIC / "icon-maskable-512.png")
    # Apple rounds the corners itself and shows what is transparent in black.
    draw(masked, 180, STATIC / "icon-apple-180.png")
    # Android's status bar shows the shape alone.
    draw(white, 96, STATIC / "icon-badge-96.png")


if __name__ == "__main__":
    main()
