"""``laundry check-reading``: whether a photo that comes in at the web service is read, for `helm test`."""

import secrets
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from laundry.client import words
from laundry_servers.errors import LaundryError

POLL_SECONDS = 0.5
CALL_SECONDS = 15.0


def check_reading(
    web: Annotated[str, typer.Option(help="Where the web service is, e.g. http://laundry-web:8000.")],
    token: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="File with the token of a helper.")
    ],
    branch: Annotated[str, typer.Option(help="The branch whose laundry it is said to be.")] = "helm-test",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the reading.")] = 120,
) -> None:
    """Upload a drawn photo through the web service and wait for its reading; exit status 1 says why not."""
    from laundry.demo.photos import sample_photos  # noqa: PLC0415 - drawing needs Pillow, help does not

    # Nobody sent this one before: the same photo would be known by its content, and read already.
    [(name, photo)] = sample_photos(1, seed=secrets.randbelow(1_000_000_000))
    bearer = {"Authorization": f"Bearer {token.read_text().strip()}"}
    began = time.monotonic()
    with httpx.Client(base_url=f"{web.rstrip('/')}/api/helper", headers=bearer, timeout=CALL_SECONDS) as http:
        form, files = {"branch_id": branch}, {"photo": (name, photo, "image/jpeg")}
        task = _asked(http, "POST", "/tasks", began + timeout, data=form, files=files)
        typer.echo(f"uploaded {name}: task {task['id']}, after {time.monotonic() - began:.1f} s")
        while task["status"] == "submitted":
            if time.monotonic() > began + timeout:
                raise LaundryError(
                    f"The photo was taken and not read within {timeout:.0f} s. Look at the readers "
                    "(ai-consumer), the broker and the object store; it is kept, and read once they are well."
                )
            time.sleep(POLL_SECONDS)
            task = _asked(http, "GET", f"/tasks/{task['id']}", began + timeout)
    reading = task.get("reading") or {}
    if not reading.get("labels"):
        raise LaundryError(f"The photo was taken, and its reading is {task['status']}: {reading}")
    labels = ", ".join(f"{label['label']} {label['confidence']:.0%}" for label in reading["labels"])
    typer.echo(f"read as {labels} after {time.monotonic() - began:.1f} s")


def _asked(http: httpx.Client, method: str, path: str, until: float, **arguments: Any) -> dict[str, Any]:
    """Ask until it is answered: a pod that has just started is not yet known to everybody."""
    while True:
        try:
            answer = http.request(method, path, **arguments)
        except httpx.TransportError as error:
            trouble = f"{http.base_url} cannot be reached ({type(error).__name__})"
        else:
            if answer.is_success:
                found: dict[str, Any] = answer.json()
                return found
            trouble = f"{method} {path} was answered {answer.status_code}: {words(answer)}"
            if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                raise LaundryError(trouble)
        if time.monotonic() > until:
            raise LaundryError(trouble)
        time.sleep(POLL_SECONDS)
