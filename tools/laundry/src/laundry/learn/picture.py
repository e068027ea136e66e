"""The plot of the story: further photos read correctly, before and after."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from laundry.learn.story import Report

SIZE = (1200, 640)
INK, SOFT, GROUND = (27, 34, 54), (85, 92, 112), (255, 253, 248)
BEFORE, AFTER, GOOD, BAD = (185, 173, 150), (43, 55, 104), (12, 99, 83), (163, 50, 31)
FLOOR, TOP = 500, 140


def draw(report: Report, path: Path) -> None:
    """Draw two bars and what was decided, and store them as PNG."""
    picture = Image.new("RGB", SIZE, GROUND)
    pen = ImageDraw.Draw(picture)
    large, middle, small = (ImageFont.load_default(size) for size in (34, 24, 18))
    pen.text((60, 40), "Further photos of the households, read right", INK, font=large)
    count = max(1, report.photos_further)
    bars = (
        ("before", report.further_before, report.champion_before, BEFORE),
        ("after", report.further_after, report.champion_after, AFTER),
    )
    pen.line((60, FLOOR, 560, FLOOR), fill=SOFT, width=2)
    for number, (name, value, version, colour) in enumerate(bars):
        left = 100 + number * 230
        height = (FLOOR - TOP) * value / count
        pen.rectangle((left, FLOOR - height, left + 160, FLOOR), fill=colour)
        pen.text((left + 80, FLOOR - height - 10), f"{value / count:.1%}", INK, font=middle, anchor="mb")
        pen.text((left + 80, FLOOR + 14), name, INK, font=middle, anchor="mt")
        pen.text((left + 80, FLOOR + 48), version, SOFT, font=small, anchor="mt")
        pen.text((left + 80, FLOOR + 74), f"{value} of {count}", SOFT, font=small, anchor="mt")
    lines = [
        (f"{report.photos_learnt} photos read, {report.corrected} corrected by the owner", INK),
        (f"retrained and judged in {report.run_s:.1f} s", INK),
        (f"{report.replicas} replicas serve it {report.served_by_all_s:.1f} s after", INK),
        (f"under load {report.load_read} of {report.load_uploaded} photos read", INK),
    ]
    if report.bad_run:
        refused = not report.bad_run["decision"]["promoted"]
        lines.append(
            (
                "careless labels: " + ("refused by the gate" if refused else "TOOK OVER"),
                GOOD if refused else BAD,
            )
        )
    for number, (line, colour) in enumerate(lines):
        pen.text((620, 170 + number * 56), line, colour, font=middle)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
