"""Firebase Cloud Messaging through Google's own client."""

import asyncio
import contextlib
import time
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import firebase_admin
import httpx
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
CLIENT_SHARE = 0.8
"""Of an attempt's time: the client is to give up first. All pushes share one HTTP/2 connection. The client
replaces it if it noticed itself that nothing comes, and keeps it if it was cancelled."""

CLOSE_WITHIN_S = 5.0

PUSHES = Counter("laundry_push_requests", "Push requests by FCM's verdict", ["verdict"])
PUSH_SECONDS = Histogram("laundry_push_request_seconds", "Time of one push request")

log = structlog.get_logger(__name__)


class LocalCredential(credentials.Base):  # type: ignore[misc]
    """A fixed token for a local server, which checks only that there is one. Google would refuse it."""

    def get_credential(self) -> Any:
        """Return the fixed token."""
        return TokenCredentials(token="local")  # type: ignore[no-untyped-call]  # noqa: S106


class AsyncGoogleAuth(httpx.Auth):
    """Puts the access token on each request.

    The client's own refreshes it in the event loop, which then stands still: when it is old, and twice at
    each answer 401. That is also FCM's answer to every push to an iPhone while the APNs key is wrong.
    """

    def __init__(self, credential: Any, authorise: Callable[[], Awaitable[None]]) -> None:
        """Take what refreshes the credential off the event loop."""
        self._credential = credential
        self._authorise = authorise
        self._request = AuthRequest()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request once, with a token that is valid."""
        await self._authorise()
        self._credential.before_request(self._request, request.method, str(request.url), request.headers)
        yield request


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
        # Not the event loop's own threads: a token endpoint that hangs would use up those of everybody else.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="fcm-token")
        self._refresh: asyncio.Future[None] | None = None

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
        client = _http_client.HttpxAsyncClient(
            retry_config=HttpxRetry(max_retries=0, status_forcelist=[]),
            timeout=CLIENT_SHARE * self._timeout_s,
        )
        client.async_client.auth = AsyncGoogleAuth(self._credential, self._authorise)
        self._service._async_client = client
        await replaced.aclose()

    async def stop(self) -> None:
        """Close the client and its connections, within ``CLOSE_WITHIN_S``."""
        app, self._app = self._app, None
        if app is None:
            return
        self._threads.shutdown(wait=False, cancel_futures=True)
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                with contextlib.suppress(Exception):
                    await self._service._async_client.aclose()
                # The client closes itself on its own event loop, which must not run inside ours.
                await asyncio.to_thread(firebase_admin.delete_app, app)
        except TimeoutError:
            log.warning("FCM's client was not closed in time")

    async def push(self, push: Push) -> PushResult:
        """Send one message and classify FCM's answer."""
        with PUSH_SECONDS.time():
            result = await self._push(push)
        PUSHES.labels(result.status).inc()
        return result

    async def _push(self, push: Push) -> PushResult:
        late = PushResult(PushStatus.LATER, f"no answer within {self._timeout_s:g} s")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._authorise()
                response = await self._send(push)
        except TimeoutError:
            return late
        except (exceptions.FirebaseError, GoogleAuthError) as error:
            return PushResult(PushStatus.LATER, f"{type(error).__name__}: {error}"[:500])
        except ValueError as error:
            return PushResult(PushStatus.REFUSED, f"the message cannot be encoded: {error}"[:500])
        if response.success:
            return PushResult(PushStatus.SENT)
        return late if gave_up(response.exception) else read_error(response.exception)

    async def _send(self, push: Push) -> Any:
        """Send once, and once more where FCM refused the access token."""
        message, token = message_of(push), self._credential.token
        [response] = (await messaging.send_each_async([message], app=self._app)).responses
        # A local server's token cannot be refreshed.
        if self._credentials_file is None or not is_token_refused(response.exception):
            return response
        if self._credential.token == token:  # else it has been refreshed meanwhile
            self._credential.token = None
        [response] = (await messaging.send_each_async([message], app=self._app)).responses
        return response

    async def _authorise(self) -> None:
        """Refresh the access token if it is not valid, in a thread; all who wait share one refresh.

        Whoever gives up waiting leaves it running, so the next one starts no second.
        """
        if self._credential.valid:
            return
        if self._refresh is None or self._refresh.done():
            request = partial(AuthRequest(), timeout=self._timeout_s)
            loop = asyncio.get_running_loop()
            self._refresh = loop.run_in_executor(self._threads, self._credential.refresh, request)
            # Where nobody waits any more, nobody else takes note of a failure.
            self._refresh.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        await asyncio.shield(self._refresh)


def gave_up(error: Exception) -> bool:
    """Whether the client waited for an answer in vain, rather than that FCM tells of a time that is over."""
    return isinstance(error, exceptions.DeadlineExceededError) and error.http_response is None


def is_token_refused(error: Exception | None) -> bool:
    """Whether FCM refused our access token; it answers 401 also where Apple refused FCM."""
    ours = isinstance(error, exceptions.UnauthenticatedError)
    return ours and not isinstance(error, messaging.ThirdPartyAuthError)


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
