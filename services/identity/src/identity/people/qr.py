"""A link as a QR code."""

import io

import segno


def qr_svg(link: str) -> str:
    """Draw a link as an SVG document: black on white in every theme, or phones cannot read it."""
    out = io.BytesIO()
    segno.make(link, error="m", micro=False).save(
        out, kind="svg", xmldecl=False, scale=4, border=4, dark="#000", light="#fff"
    )
    return out.getvalue().decode()
