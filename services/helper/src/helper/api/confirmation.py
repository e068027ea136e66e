"""``/tasks/{task_id}/confirmation``: the branch's owner says what the laundry is, or takes it back."""

from fastapi import APIRouter, Response

from helper.api.permissions import Owner, allowed, task_id_of
from helper.schemas import REPLAYED, ConfirmationRequest, TaskBody
from helper.service.confirmation import Confirmations
from helper.tasks import (
    AlreadyConfirmed,
    ConfirmedByAnother,
    NotReadYet,
    RepeatedLabels,
    TooLate,
    UnknownLabels,
    Withdrawn,
)
from laundry_service.http.problems import Problem

JSON_BYTES = 64 * 1024


def confirmation_router(confirmations: Confirmations) -> APIRouter:
    """Make the endpoints that confirm and take back."""
    api = APIRouter(tags=["tasks"])

    @api.post(
        "/tasks/{task_id}/confirmation", summary="Confirm or correct a reading", max_body_size=JSON_BYTES
    )
    async def confirmation(
        response: Response, principal: Owner, task_id: str, body: ConfirmationRequest
    ) -> TaskBody:
        try:
            task, repeated = await confirmations.confirm(
                task_id_of(task_id),
                body.counted(),
                by=principal.sub,
                check=lambda found: allowed(principal, found, task_id),
                undo_s=body.undo_s,
            )
        except UnknownLabels as error:
            raise Problem(
                422,
                "unknown-label",
                f"Not known: {', '.join(error.unknown)}. Choose from: {', '.join(error.allowed)}.",
                allowed=list(error.allowed),
            ) from error
        except RepeatedLabels as error:
            raise Problem(
                422, "repeated-label", "A label is named twice. Name it once, with its whole count."
            ) from error
        except NotReadYet as error:
            raise Problem(
                409, "task-not-read", "The photo was not read yet. Wait for the reading, then confirm."
            ) from error
        except AlreadyConfirmed as error:
            raise Problem(
                409, "already-confirmed", "The task was confirmed with other labels. Fetch it to see them."
            ) from error
        except Withdrawn as error:
            raise Problem(
                409,
                "task-withdrawn",
                "The helper took this photo again. Confirm the new one, which replaced_by names.",
            ) from error
        if repeated:
            response.headers[REPLAYED] = "true"
        return TaskBody.of(task)

    @api.delete("/tasks/{task_id}/confirmation", summary="Take a confirmation back within its undo_s")
    async def take_back(principal: Owner, task_id: str) -> TaskBody:
        """The task waits for its owner again. One that is not confirmed stays as it is."""
        try:
            task = await confirmations.take_back(
                task_id_of(task_id), by=principal.sub, check=lambda found: allowed(principal, found, task_id)
            )
        except TooLate as error:
            raise Problem(
                409, "confirmation-final", "The confirmation counts already and cannot be taken back."
            ) from error
        except ConfirmedByAnother as error:
            raise Problem(
                409, "confirmed-by-another", "Somebody else confirmed it; only they can take that back."
            ) from error
        return TaskBody.of(task)

    return api
