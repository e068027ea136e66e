"""Tokens for tests, signed with a key made for the run, and the JWKS that services check them against."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt

from laundry_servers.identity import AUDIENCE, ISSUER, LocalIdentity


class FileIdentity:
    """An identity provider whose key is a file; ``jwks_url`` serves its key set on this machine."""

    issuer = ISSUER
    audience = AUDIENCE

    def __init__(self, folder: Path) -> None:
        """Make the key in ``folder`` and serve the key set, until ``close`` or the end of the process."""
        self.local = LocalIdentity(folder)
        document = json.dumps(self.local.jwks()).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/jwk-set+json")
                self.send_header("Content-Length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.jwks_url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        threading.Thread(target=self._server.serve_forever, name="jwks", daemon=True).start()

    def close(self) -> None:
        """Stop serving the key set."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def settings(self) -> dict[str, Any]:
        """What a service's settings need in order to trust these tokens."""
        return {"jwks_url": self.jwks_url, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}

    def bearer(
        self, role: str, *branches: str, sub: str | None = None, seconds: int = 3600
    ) -> dict[str, str]:
        """Return the Authorization header of a valid token (expired, if ``seconds`` is negative)."""
        token = self.local.mint(role=role, branches=branches, subject=sub, seconds=seconds)
        return {"Authorization": f"Bearer {token}"}

    def bearer_with(self, **claims: Any) -> dict[str, str]:
        """Return the header of a token whose claims differ from a valid helper's; None removes one."""
        now = int(time.time())
        valid = {"iss": ISSUER, "aud": AUDIENCE, "sub": "helper-1", "role": "helper", "branches": ["b1"]}
        merged = {**valid, "iat": now, "exp": now + 3600, **claims}
        chosen = {name: value for name, value in merged.items() if value is not None}
        key = self.local.key_file.read_bytes()
        token = jwt.encode(chosen, key, algorithm="ES256", headers={"kid": self.local.key_id})
        return {"Authorization": f"Bearer {token}"}
