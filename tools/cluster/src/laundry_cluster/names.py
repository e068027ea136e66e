"""The cluster's names: answers for SERVICE.NAMESPACE.svc.cluster.local from the API's Services.

Run by ``inside`` with the interpreter alone: names.py ADDRESS PKI
"""

import http.client
import json
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

API = 6443
EVERY_S, TIMEOUT_S = 2.0, 20
LIVES_S = 5
ADDRESS_RECORD = 1
DOMAIN = "svc.cluster.local"
FOUND, UNKNOWN = 0x8580, 0x8583


def known(items: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the addresses of each name; that of a Service without an address has those of its pods."""
    found: dict[str, list[str]] = {}
    for item in items:
        name = f"{item['metadata']['name']}.{item['metadata']['namespace']}.{DOMAIN}"
        if item["kind"] == "Service":
            address = item["spec"].get("clusterIP")
            if address not in (None, "", "None"):
                found[name] = [address]
        else:
            pods = [pod["ip"] for part in item.get("subsets") or [] for pod in part.get("addresses") or []]
            found.setdefault(name, pods)
    return found


def answer(question: bytes, names: Mapping[str, list[str]]) -> bytes:
    """Answer one DNS message with a single question (RFC 1035)."""
    labels, at = [], 12
    while size := question[at]:
        labels.append(question[at + 1 : at + 1 + size].decode().lower())
        at += 1 + size
    (kind,) = struct.unpack(">H", question[at + 1 : at + 3])
    addresses = names.get(".".join(labels))
    records = addresses or [] if kind == ADDRESS_RECORD else []
    head = question[:2] + struct.pack(
        ">HHHHH", UNKNOWN if addresses is None else FOUND, 1, len(records), 0, 0
    )
    # Each is of the name that the question has at byte 12.
    found = [
        b"\xc0\x0c" + struct.pack(">HHIH", ADDRESS_RECORD, 1, LIVES_S, 4) + socket.inet_aton(each)
        for each in records
    ]
    return b"".join([head, question[12 : at + 5], *found])


def listed(api: http.client.HTTPConnection, resource: str) -> list[dict[str, Any]]:
    """Return all objects of a kind, such as ``services``. Raises OSError, HTTPException and ValueError."""
    api.request("GET", f"/api/v1/{resource}")
    answer = json.loads(api.getresponse().read())
    if "items" not in answer:
        raise ValueError(answer.get("message", "the API server answers with no list"))
    # The items of a list do not say what they are.
    return [{**item, "kind": answer["kind"].removesuffix("List")} for item in answer["items"]]


def main() -> None:
    """Answer DNS queries until the process is killed."""
    address, pki = sys.argv[1:]
    names: dict[str, list[str]] = {}
    context = ssl.create_default_context(cafile=f"{pki}/ca.crt")
    context.load_cert_chain(f"{pki}/admin.crt", f"{pki}/admin.key")
    # One connection: a kubectl for each look would take a tenth of a core for as long as the cluster is up.
    api = http.client.HTTPSConnection(address, API, timeout=TIMEOUT_S, context=context)

    def look() -> None:
        while True:
            try:
                fresh = known([*listed(api, "services"), *listed(api, "endpoints")])
                names.update(fresh)
                for gone in set(names) - set(fresh):
                    del names[gone]
            except (OSError, http.client.HTTPException, ValueError) as error:
                api.close()
                print(error, file=sys.stderr, flush=True)
            time.sleep(EVERY_S)

    threading.Thread(target=look, daemon=True).start()
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind((address, 53))
    while True:
        question, peer = listening.recvfrom(4096)
        try:
            listening.sendto(answer(question, names), peer)
        except (IndexError, struct.error, UnicodeDecodeError) as error:
            print(f"a question that is none: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
