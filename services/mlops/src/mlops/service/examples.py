"""Keeps confirmed tasks as examples, those that arrive together in one transaction."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import Received
from laundry_events.events import PhotoDeleted, TaskConfirmed
from mlops import repository


async def store_examples(session: AsyncSession, messages: Sequence[Received[TaskConfirmed]]) -> None:
    """Store confirmed tasks as examples."""
    await repository.store_examples(session, {each.meta.id: each.event for each in messages})


async def forget_photos(session: AsyncSession, messages: Sequence[Received[PhotoDeleted]]) -> None:
    """Note that the photos of examples are gone."""
    for each in messages:
        await repository.forget_photo(session, each.event)
