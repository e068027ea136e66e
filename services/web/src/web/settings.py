"""The web service's settings."""

from typing import Any

from pydantic import AnyHttpUrl, Field, create_model

from laundry_catalogue import Service, proxied_services
from web.auth.settings import SignInSettings


class ProxySettings(SignInSettings):
    """Read from ``LAUNDRY_*``; there is no broker or database here."""

    service_name: str = "web"
    public_https: bool = Field(
        default=False, description="Bind browsers to HTTPS though the proxy does not say X-Forwarded-Proto"
    )

    connect_timeout_s: float = Field(default=3.0, gt=0)
    read_timeout_s: float = Field(default=30.0, gt=0, description="Longest wait for a service's next bytes")
    stream_read_timeout_s: float = Field(
        default=60.0, gt=0, description="The same on event streams, which say something every 15 s"
    )
    body_timeout_s: float = Field(default=30.0, gt=0, description="Longest wait for a caller's next bytes")
    max_body_bytes: int = Field(
        default=30_500_000, ge=1, description="Longest body that is asked for: the largest photo and its form"
    )
    max_connections: int = Field(default=1000, ge=1, description="To all services, but for event streams")
    streams_at_most: int = Field(default=2000, ge=1, description="Event streams that are passed on at once")
    streams_per_address: int = Field(default=300, ge=1, description="The same of one client address")

    @property
    def by_tls(self) -> bool:
        """Whether browsers come over HTTPS."""
        return self.public_https or super().by_tls

    def url_of(self, service: Service) -> str:
        """Return the address of a service that is proxied, without a trailing slash."""
        return str(getattr(self, service.url_key)).rstrip("/")


_ADDRESSES: dict[str, Any] = {service.url_key: (AnyHttpUrl, ...) for service in proxied_services()}

WebSettings = create_model("WebSettings", __base__=ProxySettings, __module__=__name__, **_ADDRESSES)
"""With the address of every proxied service: ``LAUNDRY_HELPER_URL`` and so on, all of them required."""
