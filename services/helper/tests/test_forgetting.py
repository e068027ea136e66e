"""A helper is forgotten by a message: words and name go, and of each photo only what tells nothing of him."""

import io
import json

import pytest
from PIL import Image

from helper.app import create_app
from laundry_events import Publisher
from laundry_service.migrate import upgrade
from laundry_testing.erasing import TOMBSTONE, person_erased
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.plugin import Bucket
from laundry_testing.problems import assert_problem
from laundry_testing.serving import serving
from laundry_testing.traces import in_bucket, in_database

from .conftest import MakeSettings, Service, picture, reading

pytestmark = pytest.mark.servers

WHO = "helper-kim"
WORDS = [WHO, "Minji Kim", "SERIAL-0815", "아이가 아파서"]


def telling() -> bytes:
    """A photo whose file names its owner and the camera."""
    exif = Image.Exif()
    exif[0x013B] = "Minji Kim"
    exif[0xA431] = "SERIAL-0815"
    return picture(640, 480, exif=exif)


async def test_a_helper_is_forgotten_and_the_laundry_is_not(
    make_settings: MakeSettings,
    messaging: Messaging,
    identity: FileIdentity,
    bucket: Bucket,
    database_url: str,
) -> None:
    await upgrade("helper", database_url)
    settings = make_settings(amqp_url=messaging.amqp_url, photo_retention_every_s=0.2)
    publisher = Publisher(messaging.amqp_url, source="operations")
    await publisher.wait_connected()
    async with serving(create_app(settings)) as http:
        service = Service(http, identity, messaging)
        own = identity.bearer("helper", "b1", sub=WHO)
        task = (
            await service.upload(telling(), headers=own, key="kim-1", note="오늘은 아이가 아파서 일찍 갑니다")
        ).json()
        other = (await service.upload(picture(colour=7))).json()
        for each in (task, other):
            await publisher.publish(reading(each))
            await service.has_status(each["id"], "read")
        await service.confirm(other["id"], headers=identity.bearer("owner", "b1", sub=WHO))
        assert {line.split(": ")[1] for line in in_bucket(bucket.store, bucket.name, WORDS)} == {
            "Minji Kim",
            "SERIAL-0815",
        }
        answer = await http.post("/personal-data", json={}, headers=own)
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert [line.get("kind") for line in lines] == ["submissions", "tasks", "confirmations", None]
        assert lines[1]["row"]["note"] == "오늘은 아이가 아파서 일찍 갑니다"

        event, meta = person_erased(WHO)
        await publisher.publish(event, event_id=meta.id)
        answered = json.loads((await messaging.take("person.forgotten")).body)
        assert (answered["erasure_id"], answered["service"]) == (event.erasure_id, "helper")
        # How many that is depends on how far the relay is.
        answered["rows"].pop("waiting_events", 0)
        assert answered["rows"] == {
            "submissions": 1,
            "tasks": 1,
            "confirmations": 1,
            "photo_policies": 0,
        }
        # What was being announced just then may still name him: it was before he was forgotten.
        rest: list[str] = []

        async def announced() -> bool:
            rest[:] = await in_database(database_url, WORDS)
            return not any(row.startswith("public.outbox") for row in rest)

        await eventually(announced, what="the end of what waited to be announced")
        assert rest == []

        async def gone() -> bool:
            return not in_bucket(bucket.store, bucket.name, WORDS)

        await eventually(gone, what="the end of the file as it was sent")
        now = (await service.get(f"/tasks/{task['id']}")).json()
        assert (now["helper_id"], now["note"], now["status"]) == (TOMBSTONE, None, "read")
        shown = await service.get(f"/tasks/{task['id']}/photo")
        assert (shown.status_code, Image.open(io.BytesIO(shown.content)).size) == (200, (640, 480))
        original = f"/tasks/{task['id']}/photo?size=original"
        answer = await http.get(original, headers=identity.bearer("operator"))
        assert_problem(answer, 410, "photo-original-deleted")
        answer = await http.get(
            f"/tasks/{other['id']}/photo?size=original", headers=identity.bearer("operator")
        )
        assert answer.status_code == 200, "what another helper sent stays"
        # It may be asked again, and be delivered again.
        for id_ in (meta.id, None):
            await publisher.publish(event, event_id=id_)
        again = json.loads((await messaging.take("person.forgotten")).body)
        assert not any(again["rows"].values())
    await publisher.stop()
