"""Rate limits per person, per device and per address.

Counted in the memory of each replica: N replicas let through up to N times as much. What that costs in memory
is bounded; under a flood of names the least recently seen are forgotten.
"""

import ipaddress
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict
from throttled import MemoryStore, Quota, RateLimiterType, Throttled
from throttled.exceptions import DataError
from throttled.rate_limiter import quota_parser

from laundry_service.http.problems import Problem

if TYPE_CHECKING:
    from laundry_service.auth.principal import Principal

LimitName = Literal[
    "uploads",
    "previews",
    "confirmations",
    "preferences",
    "device-registrations",
    "telemetry",
    "training-runs",
    "other-changes",
    "forged-tokens",
]
FORGED: LimitName = "forged-tokens"
# Names remembered per kind, at about 400 bytes each.
MAX_NAMES = 20_000
UNKNOWN = "unknown"
IPV6_PREFIX = 64
READING = frozenset({"GET", "HEAD", "OPTIONS"})
ENDPOINTS: Mapping[tuple[str, str], LimitName] = {
    ("POST", "/tasks"): "uploads",
    ("POST", "/tasks/batch"): "uploads",
    ("POST", "/previews"): "previews",
    ("POST", "/tasks/{task_id}/confirmation"): "confirmations",
    ("PUT", "/customers/me/preference"): "preferences",
    ("POST", "/branches/{branch_id}/preferences"): "preferences",
    ("POST", "/devices"): "device-registrations",
    ("POST", "/telemetry"): "telemetry",
    ("POST", "/training-runs"): "training-runs",
}


def _parse(text: str) -> Quota:
    try:
        (quota,) = quota_parser.parse(text)
    except (DataError, ValueError) as error:
        raise ValueError(f"a rate is such as 120/m, 20/h or 10/s, not {text[:40]!r}") from error
    return quota


def _checked(text: str) -> str:
    _parse(text)
    return text


Rate = Annotated[str, AfterValidator(_checked)]


class Allowance(BaseModel):
    """Rates such as ``120/m``: a burst of 120, refilled over a minute. None means unlimited."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: Rate | None = None
    address: Rate | None = None


# Ordinary use with headroom; a whole branch may share one address.
DEFAULTS: Mapping[LimitName, Allowance] = {
    "uploads": Allowance(person="120/m", address="1200/m"),
    "previews": Allowance(person="120/m", address="1200/m"),
    "confirmations": Allowance(person="600/m", address="6000/m"),
    "preferences": Allowance(person="60/m", address="600/m"),
    "device-registrations": Allowance(person="60/m", address="600/m"),
    "telemetry": Allowance(person="120/m", address="12000/m"),
    "training-runs": Allowance(person="20/h", address="60/h"),
    "other-changes": Allowance(person="300/m", address="3000/m"),
    FORGED: Allowance(address="30/m"),
}


class RateLimits:
    """Counts requests by person and by address, and refuses what exceeds the limits."""

    def __init__(
        self, allowances: Mapping[LimitName, Allowance] | None = None, *, max_names: int = MAX_NAMES
    ) -> None:
        """Override the defaults with ``allowances``."""
        # Kept separately, so that a flood of addresses does not evict the count of a person.
        persons, addresses, forgers = (MemoryStore(options={"MAX_SIZE": max_names}) for _ in range(3))
        found = {**DEFAULTS, **(allowances or {})}
        self._persons = {name: _throttle(each.person, persons) for name, each in found.items()}
        self._addresses = {
            name: _throttle(each.address, forgers if name == FORGED else addresses)
            for name, each in found.items()
        }

    def count(
        self, principal: "Principal", address: str, method: str, path: str | None, *, times: int = 1
    ) -> None:
        """Count a request of somebody whose token is good.

        Args:
            path: the path's template.
            times: as how many it counts.

        Raises:
            Problem: 429, with when to come again.
        """
        name = ENDPOINTS.get((method, path or ""))
        if name is None:
            if method in READING:
                return
            name = "other-changes"
        # The person's limit first: one person's excess must not use up the shared address's limit.
        _take(self._persons[name], f"{name}:{_whose(principal)}", name, "you", times)
        _take(self._addresses[name], f"{name}:{grouped(address)}", name, "your address", times)

    def forging(self, address: str) -> bool:
        """Whether too many forged tokens came from an address."""
        throttle = self._addresses[FORGED]
        return throttle is not None and throttle.peek(f"{FORGED}:{grouped(address)}").remaining < 1

    def count_forged(self, address: str) -> None:
        """Count a forged token.

        Raises:
            Problem: 429 instead of the 401 for one too many.
        """
        _take(self._addresses[FORGED], f"{FORGED}:{grouped(address)}", FORGED, "your address", 1)


def _whose(principal: "Principal") -> str:
    if principal.role == "device":
        # Its name is one within its branches: two branches may have a washer-1.
        return f"{principal.role}:{'+'.join(sorted(principal.branches))}:{principal.sub}"
    return f"{principal.role}:{principal.sub}"


def grouped(address: str) -> str:
    """Return the key an address is counted under; for IPv6 its /64, the least a customer gets."""
    try:
        # Without the zone of a link-local address, which is a name of this machine's own.
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), IPV6_PREFIX), strict=False))


def _throttle(rate: str | None, store: MemoryStore) -> Throttled | None:
    if rate is None:
        return None
    # GCRA: one number per name, and no window edges.
    return Throttled(using=RateLimiterType.GCRA.value, quota=_parse(rate), store=store)


def _take(throttle: Throttled | None, key: str, name: LimitName, whose: str, times: int) -> None:
    if throttle is None:
        return
    result = throttle.limit(key, cost=times)
    if not result.limited:
        return
    quota: Quota = throttle.limiter.quota
    retry_after_s = math.ceil(max(1.0, result.state.retry_after))
    headers = {
        "Retry-After": str(retry_after_s),
        # draft-ietf-httpapi-ratelimit-headers
        "RateLimit-Policy": f'"{name}";q={quota.get_limit()};w={quota.get_period_sec()}',
        "RateLimit": f'"{name}";r=0;t={retry_after_s}',
    }
    extra: dict[str, Any] = {"limit": name, "retry_after_s": retry_after_s}
    if name == FORGED:
        code, detail = "too-many-forged-tokens", "Too many tokens that are not valid came from your address."
    else:
        code = "too-many-requests"
        detail = f"That is more than {whose} may do of this ({name}: {quota.get_limit()} in {_words(quota)})."
    raise Problem(429, code, f"{detail} Come again in {retry_after_s} seconds.", headers=headers, **extra)


def _words(quota: Quota) -> str:
    seconds = quota.get_period_sec()
    return {1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day"}.get(seconds, f"{seconds} seconds")
