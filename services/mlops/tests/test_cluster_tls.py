"""The cluster's own authority is believed as clusters make it, and nobody else's is."""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from laundry_servers.certificates import begun, private_pem
from mlops.launching.cluster import Cluster, Unreachable


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@dataclass
class Authority:
    """A certificate authority as EKS makes it: without keyUsage and key identifiers."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, signed(named("kubernetes"), key, named("kubernetes"), key, authority=True))

    def serving_files(self, folder: Path) -> tuple[Path, Path]:
        """Write a certificate for localhost and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = signed(named("api"), key, self.certificate.subject, self.key, authority=False)
        files = folder / "server.crt", folder / "server.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(private_pem(key))
        return files


def signed(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    by: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    return (
        begun(subject, issuer, key.public_key(), days=1)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(by, hashes.SHA256())
    )


@asynccontextmanager
async def api(authority: Authority, folder: Path) -> AsyncIterator[str]:
    """An API that knows no pods, behind a certificate of the authority."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n{"items":[]}')
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.serving_files(folder))
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def account(tmp_path: Path) -> Callable[[Authority], Path]:
    def make(believed: Authority) -> Path:
        (tmp_path / "namespace").write_text("laundry\n")
        (tmp_path / "token").write_text("token\n")
        (tmp_path / "ca.crt").write_bytes(believed.certificate.public_bytes(serialization.Encoding.PEM))
        return tmp_path

    return make


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contexts are strict, as Python 3.13 makes them."""
    make = ssl.create_default_context

    @functools.wraps(make)
    def making(*args: object, **options: object) -> ssl.SSLContext:
        context = make(*args, **options)  # type: ignore[arg-type]
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", making)


async def test_an_authority_without_key_usage_is_believed(
    account: Callable[[Authority], Path], tmp_path: Path
) -> None:
    authority = Authority.new()
    async with api(authority, tmp_path) as url:
        cluster = Cluster(url, account(authority))
        assert await cluster.pods_of("training") == []
        await cluster.close()


async def test_another_authority_is_not(account: Callable[[Authority], Path], tmp_path: Path) -> None:
    async with api(Authority.new(), tmp_path) as url:
        cluster = Cluster(url, account(Authority.new()))
        with pytest.raises(Unreachable):
            await cluster.pods_of("training")
        await cluster.close()
