"""The authority of a cluster, the certificates of its parts, and what each of them logs in with."""

import base64
import json
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from laundry_servers.certificates import begun, key_usage, private_pem

SERVICE_ADDRESS = "10.96.0.1"
PORT = 6443
DAYS = 30
# As whom each part calls the API: common name and group.
CLIENTS = {
    "admin": ("admin", "system:masters"),
    "controllers": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet-1": ("system:node:node-1", "system:nodes"),
    "kubelet-2": ("system:node:node-2", "system:nodes"),
    "proxy": ("system:kube-proxy", ""),
}
Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """The key and certificate that sign the others."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def make(folder: Path, node_address: str, second_address: str) -> None:
    """Write all of it for two nodes, readable by its owner only."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = _authority()
    _write(folder / "ca", authority.key, authority.certificate)
    tokens = rsa.generate_private_key(65537, 2048)
    _write(folder / "tokens", tokens)
    (folder / "tokens.pub").write_bytes(
        tokens.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    names = ["kubernetes", *(f"kubernetes.default{each}" for each in ("", ".svc", ".svc.cluster.local"))]
    _server(folder / "api", authority, "kube-apiserver", names, [SERVICE_ADDRESS, node_address, "127.0.0.1"])
    for name, address in (("node-1", node_address), ("node-2", second_address)):
        _server(folder / name, authority, name, [name], [address, "127.0.0.1"])
    for name, (common, group) in CLIENTS.items():
        _client(folder / name, authority, _name(common, group), node_address)


def _authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("kubernetes-ca", "")
    certificate = (
        begun(name, name, key.public_key(), days=DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def _server(to: Path, authority: Authority, common: str, names: list[str], addresses: list[str]) -> None:
    alternatives = [
        *(x509.DNSName(name) for name in names),
        *(x509.IPAddress(ip_address(each)) for each in addresses),
    ]
    key = ec.generate_private_key(ec.SECP256R1())
    unsigned = begun(_name(common, ""), authority.certificate.subject, key.public_key(), days=DAYS)
    unsigned = unsigned.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    _write(to, key, _signed(unsigned, key, authority, ExtendedKeyUsageOID.SERVER_AUTH))


def _client(to: Path, authority: Authority, who: x509.Name, node_address: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    unsigned = begun(who, authority.certificate.subject, key.public_key(), days=DAYS)
    certificate = _signed(unsigned, key, authority, ExtendedKeyUsageOID.CLIENT_AUTH)
    _write(to, key, certificate)
    server = f"https://{node_address}:{PORT}"
    cluster = {"server": server, "certificate-authority-data": _encoded(_pem(authority.certificate))}
    user = {
        "client-certificate-data": _encoded(_pem(certificate)),
        "client-key-data": _encoded(private_pem(key)),
    }
    file = to.with_suffix(".kubeconfig")
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "here", "cluster": cluster}],
                "users": [{"name": to.name, "user": user}],
                "contexts": [{"name": to.name, "context": {"cluster": "here", "user": to.name}}],
                "current-context": to.name,
            }
        )
    )
    file.chmod(0o600)


def _signed(
    begun: x509.CertificateBuilder, key: Private, authority: Authority, use: x509.ObjectIdentifier
) -> x509.Certificate:
    signers = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return (
        begun.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(signers, critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _name(common: str, group: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if group:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(parts)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _write(to: Path, key: Private, certificate: x509.Certificate | None = None) -> None:
    file = to.with_suffix(".key")
    file.touch(mode=0o600)
    file.write_bytes(private_pem(key))
    if certificate is not None:
        to.with_suffix(".crt").write_bytes(_pem(certificate))
