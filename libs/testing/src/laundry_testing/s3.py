"""Buckets of the tests' own, made and deleted through boto3."""

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from laundry_servers.addresses import ObjectStoreAddress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def client(store: ObjectStoreAddress) -> "S3Client":
    """Return a boto3 client for a store."""
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint_url,
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        region_name="us-east-1",
        config=Config(response_checksum_validation="when_required", s3={"addressing_style": "path"}),
    )


def make_bucket(store: ObjectStoreAddress, name: str) -> None:
    """Make an empty bucket of this name."""
    client(store).create_bucket(Bucket=name)


def empty_and_delete_bucket(store: ObjectStoreAddress, name: str) -> None:
    """Delete a bucket with all its objects."""
    s3 = client(store)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for item in page.get("Contents", []):
            s3.delete_object(Bucket=name, Key=item["Key"])
    s3.delete_bucket(Bucket=name)
