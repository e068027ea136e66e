"""Firebase Cloud Messaging through Google's own client."""

import asyncio
import contextlib
import time
import warnings
from pathlib import Path
from typing import Any

import firebase_admin
import structlog
from firebase_admin import _http_client, credentials, exceptions, messaging
from firebase_admin._retry import HttpxRetry
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request as AuthRequest
from google.oauth2.credentials import Credentials as TokenCredentials
from prometheus_client import Counter, Histogram

from laundry_events import new_id
from notification.push import Push, PushResult, PushStatus

LOCAL_PROJECT = "laundry-local"
GOOGLE_URL = messaging._MessagingService.FCM_URL
SEND_PATH = "/v1/projects/{0}/messages:send"

PUSHES = Counter("laundry_push_requests", "Push requests by FCM's verdict", ["verdict"])
PUSH_SECONDS = Histogram("laundry_push_request_seconds", "Time of one push request")

log = structlog.get_logger(__name__)


class LocalCredential(credentials.Base):  # type: ignore[misc]
    """A fixed token for a local server, which checks only that there is one. Google would refuse it."""

    def get_credential(self) -> Any:
        """Return the fixed token."""
        return TokenCredentials(token="local")  # type: ignore[no-untyped-call]  # noqa: S106


class FirebasePusher:
    """A separate firebase-admin app, without the client's retries: the sender decides when to try again."""

    def __init__(
        self,
        *,
        url: str | None,
        credentials_file: Path | None,
        project_id: str | None,
        attempt_timeout_s: float,
    ) -> None:
        """Configure where to send and as whom.

        Args:
            url: a local server; ``None`` is Google's.
            credentials_file: the service account's key; not needed for a local server.
            project_id: else the account's own.
        """
        self._url = url
        self._credentials_file = credentials_file
        self._project_id = project_id or (LOCAL_PROJECT if credentials_file is None else None)
        self._timeout_s = attempt_timeout_s
        self._app: Any = None
        self._service: Any = None
        self._credential: Any = None
        self._refreshing = asyncio.Lock()

    async def start(self) -> None:
        """Read the credentials and open the client. Raises immediately if they are unusable."""
        credential: Any = (
            LocalCredential()
            if self._credentials_file is None
            else await asyncio.to_thread(credentials.Certificate, str(self._credentials_file))
        )
        options: dict[str, Any] = {"httpTimeout": self._timeout_s}
        if self._project_id is not None:
            options["projectId"] = self._project_id
        self._app = firebase_admin.initialize_app(credential, options, name=f"notification-{new_id()}")
        # Read once, by the messaging service that the next line makes.
        messaging._MessagingService.FCM_URL = (
            GOOGLE_URL if self._url is None else self._url.rstrip("/") + SEND_PATH
        )
        self._service = messaging._get_messaging_service(self._app)
        self._credential = self._service._credential
        replaced = self._service._async_client
        self._service._async_client = _http_client.HttpxAsyncClient(
            credential=self._credential,
            retry_config=HttpxRetry(max_retries=0, status_forcelist=[]),
            timeout=self._timeout_s,
        )
        await replaced.aclose()

    async def stop(self) -> None:
        """Close the client and its connections."""
        if self._app is None:
            return
        with contextlib.suppress(Exception):
            await self._service._async_client.aclose()
        # The client closes itself on its own event loop, which must not run inside ours.
        await asyncio.to_thread(firebase_admin.delete_app, self._app)
        self._app = None

    async def push(self, push: Push) -> PushResult:
        """Send one message and classify FCM's answer."""
        with PUSH_SECONDS.time():
            result = await self._push(push)
        PUSHES.labels(result.status).inc()
        return result

    async def _push(self, push: Push) -> PushResult:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._authorise()
                batch = await messaging.send_each_async([message_of(push)], app=self._app)
        except TimeoutError:
            return PushResult(PushStatus.LATER, f"no answer within {self._timeout_s:g} s")
        except (exceptions.FirebaseError, GoogleAuthError) as error:
            return PushResult(PushStatus.LATER, f"{type(error).__name__}: {error}"[:500])
        except ValueError as error:
            return PushResult(PushStatus.REFUSED, f"the message cannot be encoded: {error}"[:500])
        response = batch.responses[0]
        return PushResult(PushStatus.SENT) if response.success else read_error(response.exception)

    async def _authorise(self) -> None:
        """Refresh the access token off the event loop: the client would block it for the round trip."""
        if self._credential.valid:
            return
        async with self._refreshing:
            if not self._credential.valid:
                await asyncio.to_thread(self._credential.refresh, AuthRequest())


def read_error(error: Exception) -> PushResult:
    """Classify a client error: what it means for the device and the message."""
    described = f"{type(error).__name__}: {error}"[:500]
    if isinstance(error, messaging.UnregisteredError):
        return PushResult(PushStatus.GONE, described)
    # A token of another project means that our credentials are wrong, not that the phone is gone.
    if isinstance(error, messaging.SenderIdMismatchError | exceptions.InvalidArgumentError):
        return PushResult(PushStatus.REFUSED, described)
    return PushResult(PushStatus.LATER, described, retry_after_s=_retry_after_s(error))


def _retry_after_s(error: Exception) -> float | None:
    response = getattr(error, "http_response", None)
    value = None if response is None else response.headers.get("Retry-After")
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None


def message_of(push: Push) -> Any:
    """Build the message: the tag makes a resend replace the alert that is already shown.

    Android's ``collapse_key`` stays unset: FCM keeps four of them for a sleeping phone, and a fifth fault
    would push out the first; the tag and its counterparts replace on the phone without that limit.
    """
    title, body = push.text["title"], push.text["body"]
    ttl = push.kept_for
    with warnings.catch_warnings():
        # Phones still register with tokens; the library prefers installation ids.
        warnings.simplefilter("ignore", DeprecationWarning)
        return messaging.Message(
            token=push.token,
            notification=messaging.Notification(title=title, body=body),
            data=push.data,
            android=messaging.AndroidConfig(
                priority="high" if push.urgent else "normal",
                ttl=ttl,
                notification=messaging.AndroidNotification(tag=push.tag, default_sound=push.sound),
            ),
            apns=messaging.APNSConfig(
                headers={
                    "apns-collapse-id": push.tag[:64],
                    "apns-priority": "10" if push.urgent else "5",
                    "apns-expiration": str(int(time.time() + ttl.total_seconds())),
                },
                payload=messaging.APNSPayload(
                    messaging.Aps(sound="default" if push.sound else None, thread_id=push.data["kind"])
                ),
            ),
            webpush=messaging.WebpushConfig(
                headers={
                    "Urgency": "high" if push.urgent else "low",
                    "TTL": str(int(ttl.total_seconds())),
                },
                notification=messaging.WebpushNotification(
                    title=title,
                    body=body,
                    tag=push.tag,
                    renotify=push.sound,
                    silent=push.urgent and not push.sound,
                ),
            ),
        )
