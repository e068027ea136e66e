"""The certificates of a cluster, as strict clients see them."""

import json
import socket
import ssl
import threading
from pathlib import Path

import pytest

from laundry_cluster import certificates


def test_a_strict_client_takes_the_api_for_its_names_only(tmp_path: Path) -> None:
    certificates.make(tmp_path, "127.0.0.1", "127.0.0.2")
    for file in (*tmp_path.glob("*.key"), *tmp_path.glob("*.kubeconfig")):
        assert file.stat().st_mode & 0o077 == 0, file.name
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "api.crt", tmp_path / "api.key")
    server.load_verify_locations(tmp_path / "ca.crt")
    server.verify_mode = ssl.CERT_REQUIRED
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            connection, _ = listening.accept()
            try:
                with server.wrap_socket(connection, server_side=True) as secured:
                    secured.sendall(str(secured.getpeercert()).encode()[:4000])
            except (ssl.SSLError, OSError):
                connection.close()

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_cert_chain(tmp_path / "admin.crt", tmp_path / "admin.key")
    with (
        socket.create_connection(listening.getsockname(), timeout=60) as plain,
        client.wrap_socket(plain, server_hostname="kubernetes.default.svc") as secured,
    ):
        assert "system:masters" in secured.recv(4000).decode()
    with (
        socket.create_connection(listening.getsockname(), timeout=60) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        client.wrap_socket(plain, server_hostname="elsewhere.example")
    serving.join(60)
    config = json.loads((tmp_path / "kubelet-1.kubeconfig").read_text())
    assert config["users"][0]["name"] == config["contexts"][0]["context"]["user"] == "kubelet-1"
