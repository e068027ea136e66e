"""Photos of the tests' own, drawn, and as the helper service shows them."""

import io
from functools import cache

from PIL import Image, ImageDraw

from laundry_reading.pictures import make_pictures


def picture(kind: str = "shirt", *, size: tuple[int, int] = (900, 1200), colour: str = "#6d8fb3") -> bytes:
    """Draw a garment on a floor."""
    width, height = size
    image = Image.new("RGB", size, "#cdbfa9")
    draw = ImageDraw.Draw(image)
    for y in range(0, height, height // 9):
        draw.line([(0, y), (width, y)], fill="#b9a98f", width=4)

    def scaled(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * width, y * height) for x, y in points]

    outlines = {
        "pants": [
            (0.3, 0.2), (0.7, 0.2), (0.78, 0.85), (0.57, 0.86), (0.5, 0.42), (0.43, 0.86), (0.22, 0.85),
        ],
        "skirt": [(0.36, 0.3), (0.64, 0.3), (0.82, 0.75), (0.18, 0.75)],
        "shirt": [
            (0.36, 0.2), (0.5, 0.26), (0.64, 0.2), (0.88, 0.36), (0.8, 0.5), (0.7, 0.44),
            (0.7, 0.82), (0.3, 0.82), (0.3, 0.44), (0.2, 0.5), (0.12, 0.36),
        ],
    }  # fmt: skip
    draw.polygon(scaled(*outlines.get(kind, outlines["shirt"])), fill=colour, outline="#3a3226", width=6)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()


@cache
def shown(photo: bytes, size: str) -> bytes:
    """A photo as the helper service shows it; of what is no JPEG, some picture."""
    made = make_pictures(photo if photo.startswith(b"\xff\xd8") else picture())
    return (made.thumbnail if size == "thumbnail" else made.display).data
