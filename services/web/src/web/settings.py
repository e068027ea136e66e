"""What the web service is told from outside."""

from pydantic import AnyHttpUrl, Field

from laundry_service.http.settings import HttpSettings


class WebSettings(HttpSettings):
    """Read from ``LAUNDRY_*``; there is no broker, database or key here, so nothing is secret."""

    service_name: str = "web"
    public_https: bool = Field(
        default=False, description="Bind browsers to HTTPS though the proxy does not say X-Forwarded-Proto"
    )

    helper_url: AnyHttpUrl
    notification_url: AnyHttpUrl
    monitoring_url: AnyHttpUrl
    mlops_url: AnyHttpUrl
    search_url: AnyHttpUrl
    operations_url: AnyHttpUrl

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
