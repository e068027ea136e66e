"""``/customers/me/consent``: whether a customer is told of branches; ``/unsubscribe``: one tap ends it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from laundry_service.auth.callers import require
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database
from notification.api.callers import AcceptLanguage
from notification.consent import UnknownText
from notification.customer_rules import TellingPolicy
from notification.repository import consents as queries
from notification.schemas import ConsentIn, ConsentOut, ConsentRecords, StopKey
from notification.service.consents import Consents
from notification.texts import language_of

Customer = Annotated[Principal, Depends(require("customer"))]


def consent_router(
    database: Database, consents: Consents, policy: TellingPolicy, *, time_zone: str
) -> APIRouter:
    """Make the endpoints of consent; ``time_zone`` is that of customers who named none."""
    router = APIRouter(tags=["consent"])

    @router.get("/customers/me/consent")
    async def read(customer: Customer, accept_language: AcceptLanguage = None) -> ConsentOut:
        """Read whether the caller agrees to be told, and the words to ask with."""
        async with database.session() as session:
            consent = await queries.find(session, customer.sub)
        return ConsentOut.of(consent, consents.text, policy, time_zone, language_of(accept_language))

    @router.put("/customers/me/consent")
    async def change(
        asked: ConsentIn, customer: Customer, accept_language: AcceptLanguage = None
    ) -> ConsentOut:
        """Agree to the words that were shown, or end it. The record keeps when, how and to which words."""
        language = language_of(accept_language)
        if asked.given:
            try:
                given = await consents.give(
                    customer.sub,
                    text_version=asked.text_version or "",
                    time_zone=asked.time_zone,
                    language=language,
                )
            except UnknownText as error:
                raise Problem(
                    409,
                    "consent-text-changed",
                    "Show text of GET /customers/me/consent, and send its version as text_version.",
                ) from error
            return ConsentOut.of(given, consents.text, policy, time_zone, language)
        ended = await consents.withdraw(customer.sub)
        return ConsentOut.of(ended, consents.text, policy, time_zone, language)

    @router.get("/customers/me/consent/records")
    async def list_records(
        customer: Customer, limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> ConsentRecords:
        """Read what the caller said so far, newest first."""
        async with database.session() as session:
            return ConsentRecords.of(await queries.records_of(session, customer.sub, limit=limit))

    @router.post("/unsubscribe", status_code=204)
    async def stop(asked: StopKey) -> None:
        """End it by the `stop_key` in a push's data, without a token. Repeating it changes nothing."""
        if not await consents.stop(asked.key):
            raise Problem(404, "stop-key-unknown", "No consent has this key; use the whole link of the push.")

    return router
