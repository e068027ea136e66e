"""A certificate authority of this machine, for the local stack and for learning; production has its own.

A folder holds it: ``ca.pem``, whom everybody trusts (two authorities while one replaces the other), and
``NAME.pem`` with the key and the certificate of each server and client. Both are in one file, so that a
renewal replaces them in one step.
"""

import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from laundry_servers.certificates import begun, key_usage, private_pem
from laundry_servers.errors import LaundryError
from laundry_servers.files import write_text

DAYS = 90
AUTHORITY_DAYS = 5 * 365
AUTHORITY = "authority"
BUNDLE = "ca"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate in a folder; without ``hosts`` it is a client's."""

    name: str
    path: Path
    certificate: x509.Certificate

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names and addresses that a client may reach it by."""
        try:
            found = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return ()
        names = found.get_values_for_type(x509.DNSName)
        return (*names, *map(str, found.get_values_for_type(x509.IPAddress)))

    @property
    def issuer(self) -> str:
        """The common name of the authority that signed it."""
        return _common_name(self.certificate.issuer)

    @property
    def not_after(self) -> datetime:
        """When the certificate expires, in UTC."""
        return self.certificate.not_valid_after_utc

    def is_old(self, now: datetime) -> bool:
        """Whether two thirds of its life are over."""
        begins = self.certificate.not_valid_before_utc
        return now > begins + (self.not_after - begins) * 2 / 3


class Authority:
    """The authority in ``folder``, made when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def ca_file(self) -> Path:
        """The certificates of the authorities that are trusted."""
        return self.folder / f"{BUNDLE}.pem"

    def path_of(self, name: str) -> Path:
        """Where the key and the certificate of ``name`` are."""
        if not re.fullmatch(r"[\w-][\w.-]{0,63}", name) or name in (AUTHORITY, BUNDLE):
            raise LaundryError(f"{name!r} cannot be the name of a certificate.")
        return self.folder / f"{name}.pem"

    def trusted(self) -> list[x509.Certificate]:
        """Return the authorities that are trusted, the one that signs first."""
        return x509.load_pem_x509_certificates(self.ca_file.read_bytes()) if self.ca_file.exists() else []

    def issued(self) -> list[Issued]:
        """Return every certificate of a server or a client, by name."""
        paths = sorted(self.folder.glob("*.pem"))
        return [read(path) for path in paths if path.stem not in (AUTHORITY, BUNDLE)]

    def ensure(self, name: str, hosts: Sequence[str] = ()) -> Path:
        """Return the file of ``name``; it is issued if it is missing, grows old, or is for other hosts."""
        path = self.path_of(name)
        if path.exists():
            found = read(path)
            signed_here = found.issuer in {_common_name(each.subject) for each in self.trusted()}
            if signed_here and found.hosts == tuple(hosts) and not found.is_old(datetime.now(UTC)):
                return path
        return self.issue(name, hosts)

    def issue(self, name: str, hosts: Sequence[str] = (), *, days: float = DAYS) -> Path:
        """Issue a certificate and return its file; it replaces an earlier one of that name.

        Args:
            hosts: DNS names and addresses of a server; without any it is good for a client only.
            days: how long it is good; below 0 it is over already.
        """
        path = self.path_of(name)
        signer, key = self._signer(), ec.generate_private_key(ec.SECP256R1())
        # A node of a cluster is both: the others connect to it, and it to them.
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
        builder = (
            begun(_name(name), signer.certificate.subject, key.public_key(), days=days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False
            )
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
            )
        write_text(path, private_pem(key).decode() + _text(builder.sign(signer.key, hashes.SHA256())))
        return path

    def renew(self, *, days: float = DAYS) -> list[Path]:
        """Renew every certificate, for the same names and hosts."""
        return [self.issue(each.name, each.hosts, days=days) for each in self.issued()]

    def replace(self) -> None:
        """Make another authority, which signs from now on; the present one stays trusted until ``forget``."""
        if len(self.trusted()) > 1:
            raise LaundryError(
                "Two authorities are trusted already. End that change first: laundry tls rotate --finish"
            )
        self._make()

    def forget(self) -> None:
        """Trust only the authority that signs. Raises LaundryError while a certificate is of another."""
        signer = self._signer()
        others = [
            each.name for each in self.issued() if each.certificate.issuer != signer.certificate.subject
        ]
        if others:
            raise LaundryError(
                f"Signed by the old authority still: {', '.join(others)}. Renew them: laundry tls rotate"
            )
        write_text(self.ca_file, _text(signer.certificate), mode=0o644)

    def _signer(self) -> "_Signer":
        path = self.folder / f"{AUTHORITY}.pem"
        if not path.exists():
            self._make()
        pem = path.read_bytes()
        key = serialization.load_pem_private_key(pem, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return _Signer(key, x509.load_pem_x509_certificate(pem))

    def _make(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        # The issuer is looked up by name, so no two authorities may share one.
        subject = _name(f"Laundry local authority {secrets.token_hex(4)}")
        certificate = (
            begun(subject, subject, key.public_key(), days=AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        # It must be trusted before it signs anything.
        bundle = "".join(_text(each) for each in (certificate, *self.trusted()))
        write_text(self.ca_file, bundle, mode=0o644)
        write_text(self.folder / f"{AUTHORITY}.pem", private_pem(key).decode() + _text(certificate))


@dataclass(frozen=True, slots=True)
class _Signer:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def read(path: Path) -> Issued:
    """Read a file with a certificate. Raises LaundryError."""
    try:
        return Issued(path.stem, path, x509.load_pem_x509_certificate(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise LaundryError(f"{path} holds no certificate that can be read: {error}") from error


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _common_name(name: x509.Name) -> str:
    return str(name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
