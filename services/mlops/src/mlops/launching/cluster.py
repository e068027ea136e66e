"""The few Kubernetes API calls that training needs: Jobs, and why their pods ended.

Plain HTTPS with the token of the pod's service account, which is read for each call because the cluster
replaces it from time to time.
"""

import json
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from mlops.launching.objects import JobState, PodState

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CALL_S = 15.0
WATCH_S = 60
"""How long one watch goes on, by the server's clock; the next one begins with the state of then."""

Object = dict[str, Any]
"""An object of the API as JSON: what the chart's templates hold, and what an answer is read from."""

T = TypeVar("T", bound=BaseModel)


class Missing(Exception):
    """There is no such object."""


class Exists(Exception):
    """There is an object of this name already."""


class Refused(Exception):
    """The cluster refuses, now and later; the message is its answer."""


class Unreachable(Exception):
    """The cluster does not answer, or not now; try again later."""


class Cluster:
    """The namespace that the service account is of."""

    def __init__(self, url: str, account: Path = ACCOUNT) -> None:
        """Take the API's address and the folder of the account: ``token``, ``namespace``, ``ca.crt``."""
        authority = account / "ca.crt"
        verify: ssl.SSLContext | bool = True
        if authority.is_file():
            verify = ssl.create_default_context(cafile=str(authority))
            # Clusters have authorities without keyUsage and key identifiers (EKS); Python 3.13 refuses them.
            verify.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._account = account
        self.namespace = (account / "namespace").read_text(encoding="utf-8").strip()
        self._client = httpx.AsyncClient(base_url=url, verify=verify, timeout=CALL_S, trust_env=False)

    @classmethod
    def of_this_pod(cls) -> "Cluster":
        """Return the cluster that this process runs in.

        Raises:
            LookupError: it runs in none, or its pod has no account's token.
        """
        host, port = (
            os.environ.get("KUBERNETES_SERVICE_HOST"),
            os.environ.get("KUBERNETES_SERVICE_PORT", "443"),
        )
        if not host or not (ACCOUNT / "token").is_file():
            raise LookupError(
                "LAUNDRY_TRAINING_JOBS=kubernetes needs a pod with its service account's token mounted "
                "(automountServiceAccountToken); elsewhere use LAUNDRY_TRAINING_JOBS=process."
            )
        return cls(f"https://{f'[{host}]' if ':' in host else host}:{port}")

    async def close(self) -> None:
        """Close the connections to the API."""
        await self._client.aclose()

    async def create_job(self, job: Object) -> None:
        """Create a job.

        Raises:
            Exists, Refused, Unreachable: it is not created, but for the last, where it may be.
        """
        await self._call("POST", self._jobs(), json=job)

    async def get_job(self, name: str) -> JobState:
        """Get a job.

        Raises:
            Missing, Refused, Unreachable
        """
        return _read(JobState, await self._call("GET", f"{self._jobs()}/{name}"))

    async def delete_job(self, name: str) -> None:
        """Delete a job; its pods end with it.

        Raises:
            Missing, Refused, Unreachable
        """
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        await self._call("DELETE", f"{self._jobs()}/{name}", json=options)

    async def pods_of(self, job: str) -> list[PodState]:
        """List a job's pods.

        Raises:
            Refused, Unreachable
        """
        # Without the prefix of Kubernetes 1.27 and newer: they set both.
        selector = {"labelSelector": f"job-name={job}"}
        try:
            found = await self._call("GET", f"/api/v1/namespaces/{self.namespace}/pods", params=selector)
        except Missing as error:
            raise Refused(str(error)) from error
        return [_read(PodState, pod) for pod in found.get("items") or []]

    async def watch_job(self, name: str) -> AsyncIterator[tuple[str, JobState]]:
        """Follow a job: its state now, then each change; ends by itself.

        Yields ``ADDED``, ``MODIFIED`` or ``DELETED`` and the job.

        Raises:
            Missing, Refused, Unreachable
        """
        query = {"watch": "1", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(WATCH_S)}
        timeout = httpx.Timeout(CALL_S, read=WATCH_S + CALL_S)
        try:
            async with self._client.stream(
                "GET", self._jobs(), params=query, headers=self._headers(), timeout=timeout
            ) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    _check(answer)
                async for line in answer.aiter_lines():
                    event = json.loads(line) if line.strip() else {}
                    if event.get("type") in ("ADDED", "MODIFIED", "DELETED"):
                        yield event["type"], _read(JobState, event["object"])
                    elif event.get("type") == "ERROR":
                        raise Unreachable(str(event.get("object", {}).get("message", "the watch failed")))
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}"[:200]) from error

    def _jobs(self) -> str:
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs"

    def _headers(self) -> dict[str, str]:
        try:
            token = (self._account / "token").read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Unreachable(f"the service account's token cannot be read: {error.strerror}") from error
        return {"Authorization": f"Bearer {token}"}

    async def _call(self, method: str, path: str, **options: Any) -> Object:
        try:
            answer = await self._client.request(method, path, headers=self._headers(), **options)
            _check(answer)
            found: Object = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}"[:200]) from error
        return found


def _read(kind: type[T], found: Object) -> T:
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        raise Unreachable(f"the API's answer is not understood: {error}"[:200]) from error


def _check(answer: httpx.Response) -> None:
    code = answer.status_code
    if code < 300:
        return
    try:
        body = answer.json()
        said = str(body.get("message", ""))[:300] if isinstance(body, dict) else ""
    except ValueError:
        said = ""
    told = said or f"HTTP {code}"
    if code == 404:
        raise Missing(told)
    if code == 409:
        raise Exists(told)
    # 401: the token, or the API's own key, was just rotated; both are temporary.
    if code in (401, 408, 429) or code >= 500:
        raise Unreachable(told)
    raise Refused(told)
