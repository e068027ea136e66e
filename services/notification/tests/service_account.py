"""A service account's keys, and the server that gives access tokens for them as Google's does."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


class TokenServer:
    """Gives tokens for what one of the account's keys signed; ``asked`` are the claims, each with its key.

    Each answer waits for ``answers``, which is set at first, for at most 10 s.
    """

    def __init__(self, folder: Path) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers = threading.Event()
        self.answers.set()
        self._folder = folder
        self._known: dict[str, rsa.RSAPublicKey] = {}
        asked, known, answers = self.asked, self._known, self.answers

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                assertion = form["assertion"][0]
                name = jwt.get_unverified_header(assertion)["kid"]
                if name not in known:
                    self._answer(
                        400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
                    )
                    return
                claims = jwt.decode(
                    assertion, known[name], algorithms=["RS256"], options={"verify_aud": False}
                )
                asked.append({**claims, "key": name})
                token = f"granted-{len(asked)}"
                answers.wait(10)
                self._answer(200, {"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

            def _answer(self, status: int, document: dict[str, Any]) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def key(self, name: str = "1") -> Path:
        """Make one more key of the account; returns the file that its owner downloads."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._known[name] = key.public_key()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account",
            "project_id": "a-project",
            "client_email": "pusher@a-project",
            "private_key_id": name,
            "private_key": pem.decode(),
            "token_uri": f"http://127.0.0.1:{self._server.server_port}/token",
        }
        file = self._folder / f"account-{name}.json"
        file.write_text(json.dumps(account))
        return file

    def delete(self, name: str) -> None:
        """Let nothing that this key signs have a token any more."""
        del self._known[name]

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
