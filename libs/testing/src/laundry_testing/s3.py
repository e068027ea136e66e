"""Buckets of the tests' own, made and deleted through boto3."""

import time
from typing import TYPE_CHECKING

from laundry_servers.addresses import ObjectStoreAddress
from laundry_servers.s3 import s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A list may be a second old.
LISTED_S = 60.0
LISTED_POLL_S = 0.1


def client(store: ObjectStoreAddress) -> "S3Client":
    """Return a boto3 client for a store."""
    made: S3Client = s3_client(store.endpoint_url, store.access_key, store.secret_key)
    return made


def make_bucket(store: ObjectStoreAddress, name: str) -> None:
    """Make an empty bucket of this name."""
    client(store).create_bucket(Bucket=name)


def empty_and_delete_bucket(store: ObjectStoreAddress, name: str) -> None:
    """Delete a bucket with all its objects, those too that its list does not have yet."""
    s3 = client(store)
    end = time.monotonic() + LISTED_S
    while True:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            for item in page.get("Contents", []):
                s3.delete_object(Bucket=name, Key=item["Key"])
        try:
            s3.delete_bucket(Bucket=name)
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "BucketNotEmpty" or time.monotonic() > end:
                raise
            time.sleep(LISTED_POLL_S)
        else:
            return
