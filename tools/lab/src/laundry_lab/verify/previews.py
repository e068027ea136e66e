"""How long a preview takes while readers have thousands of tasks to read."""

import math
import time

import httpx

from laundry_lab.bench.pictures import multipart, small_photos
from laundry_lab.bench.stage import NotMeasured, Stage

PREVIEWS = 40


async def times(stage: Stage, client: httpx.AsyncClient, branch: str) -> list[float]:
    """Ask for previews, one after another. Returns seconds; one without an answer in time never ends.

    Raises:
        NotMeasured: one was refused.
    """
    number = stage.many(PREVIEWS, least=5)
    advance = stage.say("previews", number)
    body, content_type = multipart(small_photos()[0], branch)
    headers = {**stage.headers("helper", branch), "Content-Type": content_type}
    found: list[float] = []
    for _ in range(number):
        began = time.monotonic()
        answer = await client.post("/previews", content=body, headers=headers)
        if answer.status_code not in (httpx.codes.OK, httpx.codes.GATEWAY_TIMEOUT):
            raise NotMeasured(f"a preview was answered {answer.status_code}: {answer.text[:200]}")
        found.append(time.monotonic() - began if answer.status_code == httpx.codes.OK else math.inf)
        advance(1)
    return found
