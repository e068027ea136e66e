"""Says in one sentence why a TLS connection did not come about, whichever side refused the other."""

import re
import ssl
from collections.abc import Iterator

# Numbers of X509_V_ERR_*, the same in every OpenSSL.
OF_THE_SERVER = {
    9: "is not valid yet: do the clocks agree?",
    10: "has expired: renew it",
    18: "is signed by itself, and not one that is trusted here (cafile)",
    19: "is signed by an authority that is not trusted here (cafile)",
    20: "is signed by an authority that is not trusted here (cafile)",
    21: "is signed by an authority that is not trusted here (cafile)",
    26: "is not one for servers",
    62: "is for another host than the address names",
    64: "is for another host than the address names",
}
# TLS alerts, as OpenSSL names them.
BY_THE_SERVER = {
    "CERTIFICATE_REQUIRED": "it demands a certificate of us, and we showed none: name one in the address "
    "(certfile, keyfile)",
    "CERTIFICATE_EXPIRED": "our certificate has expired: renew it",
    "UNKNOWN_CA": "our certificate is signed by an authority that is not trusted there",
    "BAD_CERTIFICATE": "our certificate is damaged, or its key is another's",
    "UNSUPPORTED_CERTIFICATE": "our certificate is not one for clients",
    "CERTIFICATE_UNKNOWN": "our certificate cannot be used there",
    "HANDSHAKE_FAILURE": "our certificate is missing or does not suit it",
}


def explained(error: BaseException) -> str | None:
    """Return why TLS failed, from an error or what caused it; None if that was not the reason."""
    for each in _causes(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            why = OF_THE_SERVER.get(each.verify_code, f"is refused: {each.verify_message}")
            return f"The server's certificate {why}."
        if isinstance(each, ssl.SSLError):
            return _by_the_server(each.reason or str(each))
    return None


def _by_the_server(reason: str) -> str:
    if "WRONG_VERSION_NUMBER" in reason:
        return "The server speaks no TLS at this address: is it the port of the plain protocol?"
    alert = re.search(r"ALERT_(\w+)", reason)
    why = BY_THE_SERVER.get(alert[1]) if alert else None
    return f"The server refuses us: {why}." if why else f"TLS failed: {reason}."


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
