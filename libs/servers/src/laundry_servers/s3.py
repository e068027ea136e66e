"""A client of an S3 service for tools and tests; services have a leaner one of their own."""

import os
from typing import Any


def s3_client(endpoint_url: str | None, access_key: str, secret_key: str, **options: Any) -> Any:
    """Return a boto3 client that asks any S3 service, not only Amazon's, and waits for nothing without end.

    Args:
        endpoint_url: None is Amazon itself.
        options: of botocore's ``Config``, where others than the usual are wanted.
    """
    import boto3  # noqa: PLC0415 - slow to import, and few need it
    from botocore.config import Config  # noqa: PLC0415

    usual: dict[str, Any] = {
        "connect_timeout": 5,
        "read_timeout": 60,
        "s3": {"addressing_style": "path"},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=os.environ.get("LAUNDRY_S3_REGION", "us-east-1"),
        config=Config(**usual | options),
    )
