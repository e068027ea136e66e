"""When certificates expire, as a metric: a service's own, and those that servers show."""

import math
import socket
import ssl
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from prometheus_client import Gauge

TIMEOUT_S = 5.0
EXPIRY = Gauge(
    "laundry_certificate_expiry_timestamp_seconds",
    "When a certificate ends (Unix time): of a server, or a client's own",
    ["endpoint"],
)


def own_certificate(amqp_url: str) -> Path | None:
    """Return the file of the client certificate that an AMQP address names, if it does."""
    named = parse_qs(urlsplit(amqp_url).query).get("certfile")
    return Path(named[-1]) if named else None


def watch_own(amqp_url: str, *, client: str) -> None:
    """Report at each scrape when the certificate in an address's file expires; renewals replace the file."""
    path = own_certificate(amqp_url)
    if path is not None:
        EXPIRY.labels(f"client {client}").set_function(lambda: _end_of(path))


def certificate_shown(host: str, port: int, *, own: Path | None) -> x509.Certificate:
    """Return the certificate that a server shows, whether or not it is to be trusted.

    Args:
        own: what to show to a server that demands one.

    Raises:
        OSError: nothing answers there, or it speaks no TLS.
    """
    # Nothing is sent to this server, whoever it is; only its certificate is read.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if own is not None:
        context.load_cert_chain(own)
    with (
        socket.create_connection((host, port), timeout=TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
    assert shown is not None, "a server always shows one"
    return x509.load_der_x509_certificate(shown)


def end_of(certificate: x509.Certificate) -> float:
    """Return when a certificate expires, as a Unix time."""
    return certificate.not_valid_after_utc.timestamp()


def _end_of(path: Path) -> float:
    try:
        return end_of(x509.load_pem_x509_certificate(path.read_bytes()))
    except (OSError, ValueError):
        # Connecting reports what is wrong with the file; the scrape must not fail for it.
        return math.nan
