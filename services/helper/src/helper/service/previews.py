"""Has a photo read before it is submitted; nothing of it is stored anywhere."""

import asyncio

import structlog
from prometheus_client import Counter
from pydantic import ValidationError

from helper.decoder import Decoder
from laundry_events import NoAnswer, Requester
from laundry_events.broker_settings import MESSAGE_BYTES
from laundry_events.previews import BRANCH_HEADER, PREVIEW_QUEUE, Preview
from laundry_reading.photo import inspect_at_once
from laundry_reading.pictures import MEDIA_TYPE

WITHIN_S = 2.0
MAX_BYTES = 5_000_000
"""Larger photos are not previewed: making them smaller would take too much of the time."""

AS_IT_IS_BYTES = MESSAGE_BYTES
"""Larger photos go to a reader as a small picture: the broker takes no more."""

AS_IT_IS_PIXELS = 12_000_000
"""So do those of more pixels, and all that only decoding shows to be sound: a few bytes can cost much."""

PREVIEWS = Counter(
    "laundry_helper_previews", "Photos that were to be read before they are submitted", ["outcome"]
)

log = structlog.get_logger(__name__)


class Previews:
    """Asks a reader through the broker what it sees in a photo."""

    def __init__(
        self, requester: Requester, decoder: Decoder, *, max_pixels: int, within_s: float = WITHIN_S
    ) -> None:
        """Wait ``within_s`` for an answer, and no longer."""
        self._requester = requester
        self._decoder = decoder
        self._max_pixels = max_pixels
        self._within_s = within_s

    async def read(self, photo: bytes, branch_id: str) -> Preview:
        """Return what a reader sees in a photo.

        Raises:
            PhotoError: it is none that can be taken.
            NoAnswer: no reader answered in time; asking again is safe, since nothing was done.
            PublishError: the broker is away, or too many wait.
            DecoderBusy: too many photos are being decoded.
        """
        photo = await self._small(photo)
        try:
            answer = await self._requester.ask(
                PREVIEW_QUEUE,
                photo,
                headers={BRANCH_HEADER: branch_id},
                content_type=MEDIA_TYPE,
                within_s=self._within_s,
            )
            found = Preview.model_validate_json(answer)
        except ValidationError as error:
            # During a rolling update the reader may be of another version.
            log.warning("the answer to a preview is none", error=str(error)[:200])
            PREVIEWS.labels("no answer").inc()
            raise NoAnswer("the answer was none that is known here") from error
        except NoAnswer:
            PREVIEWS.labels("no answer").inc()
            raise
        PREVIEWS.labels("read" if found.unreadable_reason is None else "unreadable").inc()
        return found

    async def _small(self, photo: bytes) -> bytes:
        """Return the photo if it is a JPEG that costs a reader little, else a small one of it."""
        limits = {"max_bytes": MAX_BYTES, "max_pixels": self._max_pixels}
        info = await asyncio.to_thread(inspect_at_once, photo, **limits)
        cheap = info is not None and info.sure and info.width * info.height <= AS_IT_IS_PIXELS
        if cheap and len(photo) <= AS_IT_IS_BYTES:
            return photo
        return await self._decoder.readable(photo, **limits)
