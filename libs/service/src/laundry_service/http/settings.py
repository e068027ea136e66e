"""Limits on what a caller may use before authentication: the settings."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from laundry_service import secret_files
from laundry_service.http.client_address import LOOPBACK, Networks


class HttpSettings(BaseSettings):
    """Settings of every HTTP server: where it listens, which proxies it trusts, and its limits."""

    # An error of the settings is logged, and the value that is wrong may be a secret.
    model_config = SettingsConfigDict(
        env_prefix="LAUNDRY_",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        secrets_dir=secret_files.folder(),
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    share_port: bool = Field(
        default=False,
        description="Other processes listen on the port too; each gets a part of the connections",
    )
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Where /metrics answers, and nowhere else; 0: nowhere"
    )
    log_level: str = "INFO"
    graceful_timeout_s: float = Field(default=15.0, gt=0)
    telemetry_folder: Path | None = Field(
        default=None,
        description="A file there of the service's name that says off turns its detailed spans off, any time",
    )
    trusted_proxies: Networks = Field(
        default=LOOPBACK, description="Whose X-Forwarded-For is believed: web and what stands before it"
    )

    http_connections: int = Field(
        default=2500, ge=1, description="Open at once; the longest idle one makes room for a new one"
    )
    http_connections_per_address: int = Field(
        default=200,
        ge=1,
        description="Of one IPv4 address or one IPv6 /64; trusted proxies have no such limit",
    )
    http_request_line_bytes: int = Field(default=8 * 1024, ge=256, description="Of the target; else 414")
    http_header_bytes: int = Field(default=32 * 1024, ge=1024, description="Of the whole head; else 431")
    http_headers: int = Field(default=100, ge=10, description="How many; else 431")
    http_header_timeout_s: float = Field(default=10.0, gt=0, description="For a whole head; else 408")
    http_idle_timeout_s: float = Field(
        default=30.0, gt=0, description="Longest wait for a kept connection's next request"
    )
    http_body_idle_s: float = Field(
        default=30.0, gt=0, description="Longest pause of a body, and of one who reads an answer; else 408"
    )
    http_min_bytes_per_s: float = Field(
        default=512.0,
        ge=0,
        description="What a body, or the reading of an answer, must make on average after the first pause",
    )
    http_pipelined: int = Field(
        default=16, ge=1, description="Requests that wait for the answer before theirs"
    )
