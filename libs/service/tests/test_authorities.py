"""One's own authority beside the public ones."""

import asyncio
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from laundry_service.authorities import bundle


def certificate(name: str) -> tuple[str, str]:
    """A certificate that signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def in_folder(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.crt").write_text(text)
    return folder


async def test_a_server_that_ones_own_authority_signed_is_trusted_beside_the_public_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = certificate("ours")
    (tmp_path / "server.pem").write_text(private + public)
    at_the_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    at_the_server.load_cert_chain(tmp_path / "server.pem")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    made = tmp_path / "trusted"
    folder = in_folder(tmp_path, given=public)
    done = subprocess.run(
        [sys.executable, "-m", "laundry_service.authorities", folder, made], check=False, timeout=60
    )
    assert done.returncode == 0
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=at_the_server)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
    async with server:
        async with httpx.AsyncClient(verify=httpx.create_ssl_context(trust_env=False)) as stranger:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.get(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(made))
        async with httpx.AsyncClient(verify=httpx.create_ssl_context()) as friend:
            assert (await friend.get(url)).status_code == 204
    assert certifi.contents() in made.read_text()


def test_several_authorities_follow_each_other(tmp_path: Path) -> None:
    first, second, third = (certificate(name)[0] for name in ("first", "second", "third"))
    text = bundle(in_folder(tmp_path, broker=first, given=f"{second}\n{third}"))
    assert all(each.strip() in text for each in (first, second, third, certifi.contents()))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no certificate"),
        ("hello", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no certificate"),
        ("\N{SNOWMAN}", "holds no certificate"),
        (certificate("ours")[1], "holds a private key"),
    ],
)
def test_what_cannot_be_trusted_is_refused_with_its_file(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refusal:
        bundle(in_folder(tmp_path, given=text))
    assert "given.crt" in str(refusal.value)


def test_a_folder_without_an_authority_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no authority"):
        bundle(tmp_path)
