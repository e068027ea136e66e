"""Puts one's own authorities beside the public ones: ``python -m laundry_service.authorities FOLDER FILE``.

Libraries that are told to trust a file (``SSL_CERT_FILE``, ``PGSSLROOTCERT``, ``AWS_CA_BUNDLE``) trust
nothing else, and a process may speak with Firebase and with a broker that one's own authority signed.
"""

import argparse
import ssl
import sys
from pathlib import Path

import certifi


def bundle(folder: Path) -> str:
    """Return the public authorities and those of the folder's ``*.crt`` as PEM.

    Raises:
        ValueError: the folder holds none, or a file is no certificate in PEM.
    """
    files = sorted(folder.glob("*.crt"))
    if not files:
        raise ValueError(f"{folder} holds no authority (*.crt)")
    return "\n".join([certifi.contents(), *(_certificates(file) for file in files)]) + "\n"


def _certificates(file: Path) -> str:
    text = file.read_text("ascii", errors="ignore").strip()
    if "PRIVATE KEY" in text:
        raise ValueError(f"{file} holds a private key")
    try:
        # Python rejects a file without certificates; OpenSSL would accept it and trust nobody.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ValueError, ssl.SSLError):
        raise ValueError(f"{file} holds no certificate in PEM") from None
    return text


def main() -> None:
    """Write the file; exits with a message if an authority cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m laundry_service.authorities", description=__doc__)
    parser.add_argument("folder", type=Path, help="*.crt files with certificates of authorities (PEM)")
    parser.add_argument("file", type=Path, help="where the bundle is written")
    arguments = parser.parse_args()
    try:
        arguments.file.write_text(bundle(arguments.folder))
    except (OSError, ValueError) as error:
        sys.exit(f"No authorities: {error}.")


if __name__ == "__main__":
    main()
