"""An identity provider that misbehaves on request: rotates keys, hangs, redirects, answers garbage."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://identity.test", "laundry-test"
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class SigningKey:
    """A key with its name; ES256 unless another is given."""

    def __init__(self, name: str, key: PrivateKey | None = None) -> None:
        self.name = name
        self.key = key or ec.generate_private_key(ec.SECP256R1())

    @property
    def algorithm(self) -> str:
        """What it signs with."""
        kinds = {ec.EllipticCurvePrivateKey: "ES256", rsa.RSAPrivateKey: "RS256"}
        return next((name for kind, name in kinds.items() if isinstance(self.key, kind)), "EdDSA")

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """Return the public key as a provider publishes it; None leaves a member out."""
        public: Any = self.key.public_key()
        made: Any
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            made = ECAlgorithm.to_jwk(public)
        elif isinstance(self.key, rsa.RSAPrivateKey):
            made = RSAAlgorithm.to_jwk(public)
        else:
            made = OKPAlgorithm.to_jwk(public)
        whole = {**json.loads(made), "kid": self.name, "use": "sig", "alg": self.algorithm, **changes}
        return {name: value for name, value in whole.items() if value is not None}

    def sign(self, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """Return an owner's token; None leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "u1",
            "role": "owner",
            "branches": ["b1"],
            "iat": now,
            "exp": now + 600,
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        # Not jwt.encode, which refuses to sign some of what must be refused.
        return jwt.PyJWS().encode(
            json.dumps(claims).encode(),
            self.key,
            algorithm=self.algorithm,
            headers={"typ": "JWT", "kid": self.name, **(header or {})},
        )


Answer = Callable[[BaseHTTPRequestHandler], None]


class IdentityProvider:
    """Serves ``/jwks.json`` and ``/denied.json``.

    Attributes:
        keys: the JWKs that are published.
        denied: the entries of the deny list.
        answer: answers every request instead, if it is set.
        fetches: how often each path was asked for.
        unchanged: how often the answer was 304.
    """

    def __init__(self, *keys: SigningKey) -> None:
        self.keys: list[dict[str, Any]] = [key.jwk() for key in keys]
        self.denied: list[dict[str, Any]] = []
        self.answer: Answer | None = None
        self.fetches = {"/jwks.json": 0, "/denied.json": 0}
        self.unchanged = 0
        self.released = threading.Event()
        self.url = ""

    @property
    def jwks_url(self) -> str:
        """Where the keys are."""
        return f"{self.url}/jwks.json"

    @property
    def deny_list_url(self) -> str:
        """Where the deny list is."""
        return f"{self.url}/denied.json"

    def publish(self, *keys: SigningKey) -> None:
        """Publish these keys and no others."""
        self.keys = [key.jwk() for key in keys]

    def hang(self, _: BaseHTTPRequestHandler) -> None:
        """Answer nothing until ``released`` is set."""
        self.released.wait(30)

    def body(self, path: str) -> bytes:
        """Return the document of a path."""
        return json.dumps({"keys": self.keys} if path == "/jwks.json" else {"denied": self.denied}).encode()

    @contextmanager
    def serving(self) -> Iterator["IdentityProvider"]:
        """Serve on this machine."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.fetches[self.path] = provider.fetches.get(self.path, 0) + 1
                if provider.answer is not None:
                    provider.answer(self)
                    return
                body = provider.body(self.path)
                etag = f'"{hash(body)}"'
                if self.headers.get("If-None-Match") == etag:
                    provider.unchanged += 1
                    self.send_response(304)
                    self.end_headers()
                    return
                reply(self, 200, body, etag=etag)

            def log_message(self, *_: Any) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, name="provider", daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            self.released.set()
            server.shutdown()
            server.server_close()
            thread.join()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    """Answer with a status, a body and headers (``etag="…"``)."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
