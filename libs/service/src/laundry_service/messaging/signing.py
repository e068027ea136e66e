"""How a service signs its dead letters, from its settings."""

import structlog

from laundry_events.signing import MessageSigner
from laundry_service.settings import ServiceSettings

log = structlog.get_logger(__name__)


def message_signer(settings: ServiceSettings) -> MessageSigner:
    """Make the signer of a service that consumes. Raises ``ValueError`` for a key that is too short."""
    if settings.letter_key is None:
        log.warning("no LAUNDRY_LETTER_KEY: whoever may send dead letters back may send anything")
        return MessageSigner(None)
    return MessageSigner(
        settings.letter_key.get_secret_value(), unsigned_until=settings.letters_unsigned_until
    )
