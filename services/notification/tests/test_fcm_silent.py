"""FCM over HTTP/2: the one connection of all pushes goes silent."""

import asyncio
import ssl
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from laundry_servers.authority import Authority
from notification.fcm import FirebasePusher
from notification.push import Push, PushStatus

BODY = b'{"name": "projects/laundry-local/messages/1"}'


class Silent:
    """Answers the first push over its first connection; later connections answer all."""

    def __init__(self) -> None:
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        first, answered = self.connections == 1, 0
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        while True:
            writer.write(connection.data_to_send())
            data = await reader.read(65536)
            if not data:
                writer.close()
                return
            if first and answered:
                continue  # what is sent arrives, as far as TCP can tell
            for event in connection.receive_data(data):
                if isinstance(event, StreamEnded):
                    connection.send_headers(
                        event.stream_id, [(":status", "200"), ("content-type", "application/json")]
                    )
                    connection.send_data(event.stream_id, BODY, end_stream=True)
                    answered += 1


async def test_after_a_silence_pushes_go_over_another_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, fcm = Authority(tmp_path), Silent()
    at_the_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    at_the_server.load_cert_chain(authority.issue("fcm", ["localhost"]))
    at_the_server.set_alpn_protocols(["h2"])
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    async with await asyncio.start_server(fcm.serve, "127.0.0.1", 0, ssl=at_the_server) as server:
        port = server.sockets[0].getsockname()[1]
        pusher = FirebasePusher(
            url=f"https://localhost:{port}", credentials_file=None, project_id=None, attempt_timeout_s=1.5
        )
        await pusher.start()
        push = Push(
            "n1", "phone", {"title": "t", "body": "b"}, {"kind": "equipment_fault"}, "e1", urgent=True
        )
        results = [(await pusher.push(push)).status for _ in range(3)]
        await pusher.stop()
    assert results == [PushStatus.SENT, PushStatus.LATER, PushStatus.SENT]
    assert fcm.connections == 2
