"""The cluster's names, as a DNS client asks for them."""

import json
import struct
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from laundry_cluster.names import answer, known, listed

SERVICE: dict[str, Any] = {"kind": "Service", "metadata": {"name": "web", "namespace": "laundry"}}
WEB = "web.laundry.svc.cluster.local"


def question(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return (
        b"\x12\x34\x01\x00" + struct.pack(">HHHH", 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)
    )


class Api(BaseHTTPRequestHandler):
    """An API server that knows Services, and no other kind."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        nameless = {key: value for key, value in SERVICE.items() if key != "kind"}
        said: dict[str, Any] = {"kind": "Status", "message": "forbidden"}
        if self.path == "/api/v1/services":
            said = {"kind": "ServiceList", "items": [nameless]}
        content = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def test_objects_of_a_list_are_known_by_their_kind() -> None:
    with HTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        api = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        assert listed(api, "services") == [SERVICE]
        with pytest.raises(ValueError, match="forbidden"):
            listed(api, "endpoints")
        # The same connection goes on.
        assert listed(api, "services") == [SERVICE]
        api.close()
        server.shutdown()


def test_a_service_has_its_address_and_one_without_those_of_its_pods() -> None:
    endpoints = {
        "kind": "Endpoints",
        "metadata": SERVICE["metadata"],
        "subsets": [{"addresses": [{"ip": "10.89.0.7"}, {"ip": "10.89.0.8"}]}],
    }
    assert known([{**SERVICE, "spec": {"clusterIP": "10.96.1.2"}}, endpoints]) == {WEB: ["10.96.1.2"]}
    assert known([{**SERVICE, "spec": {"clusterIP": "None"}}, endpoints]) == {WEB: ["10.89.0.7", "10.89.0.8"]}
    assert known([{**endpoints, "subsets": None}]) == {WEB: []}


def test_a_name_is_answered_whatever_its_case_and_an_unknown_one_is_told() -> None:
    names = {WEB: ["10.96.1.2"]}
    found = answer(question(WEB.upper()), names)
    assert found[:2] == b"\x12\x34"
    assert struct.unpack(">HHH", found[2:8]) == (0x8580, 1, 1)
    assert found.endswith(bytes([10, 96, 1, 2]))
    unknown = answer(question("elsewhere.example"), names)
    assert struct.unpack(">H", unknown[2:4])[0] & 0xF == 3
    # No address of that kind, but the name is there.
    assert struct.unpack(">HHH", answer(question(WEB, kind=28), names)[2:8]) == (0x8580, 1, 0)


@pytest.mark.parametrize("broken", [b"", question(WEB)[:20], question(WEB)[:-3]])
def test_what_is_no_question_is_an_error_that_the_server_takes(broken: bytes) -> None:
    with pytest.raises((IndexError, struct.error)):
        answer(broken, {})
