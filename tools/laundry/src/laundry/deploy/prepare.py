"""Makes databases with their roles, and the bucket; run by Compose before the migrations, safe to repeat.

``python -m laundry.deploy.prepare`` reads ``LAUNDRY_DATABASE_ADMIN_URL`` (libpq),
``LAUNDRY_DATABASE_PASSWORDS`` (JSON: password by database), ``LAUNDRY_DATABASE_OWNER_PASSWORDS`` (of those
that another login than the service's owns) and the ``LAUNDRY_S3_*`` that services read too, each from the
environment or from a file of that name in ``/run/secrets``.
"""

import asyncio
import os
import sys
from urllib.parse import unquote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from pydantic import TypeAdapter, ValidationError

from laundry_servers.addresses import DatabaseAddress
from laundry_servers.postgres import ensure_database, owner_of
from laundry_service.secret_files import given

Passwords = TypeAdapter(dict[str, str])


async def make_databases(admin_url: str, passwords: dict[str, str], owner_passwords: dict[str, str]) -> None:
    """Make one database and role for each entry, or set the role's password. Raises asyncpg errors.

    Args:
        owner_passwords: of the databases that another login than the service's owns.
    """
    parts = urlsplit(admin_url)
    address = DatabaseAddress(
        host=parts.hostname or "localhost",
        port=parts.port or 5432,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
    for name, password in passwords.items():
        if not password:
            raise ValueError(f"the database {name} has no password")
        owner = (owner_of(name), owner_passwords[name]) if owner_passwords.get(name) else None
        await ensure_database(address, name, name, password, owner=owner)


def make_bucket(endpoint_url: str | None, bucket: str, access_key: str, secret_key: str) -> None:
    """Make the bucket if it is not there. Raises botocore errors."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=os.environ.get("LAUNDRY_S3_REGION", "us-east-1"),
        config=Config(connect_timeout=5, read_timeout=15, s3={"addressing_style": "path"}),
    )
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        client.create_bucket(Bucket=bucket)
    finally:
        client.close()


def main() -> None:
    """Do what the environment says."""
    try:
        admin_url = _needed("LAUNDRY_DATABASE_ADMIN_URL")
        passwords = Passwords.validate_json(_needed("LAUNDRY_DATABASE_PASSWORDS"))
        owners = Passwords.validate_json(given("LAUNDRY_DATABASE_OWNER_PASSWORDS") or "{}")
        bucket = _needed("LAUNDRY_S3_BUCKET")
        keys = _needed("LAUNDRY_S3_ACCESS_KEY"), _needed("LAUNDRY_S3_SECRET_KEY")
    except KeyError as error:
        sys.exit(f"{error.args[0]} is not set.")
    except ValidationError:
        sys.exit(
            "LAUNDRY_DATABASE_PASSWORDS or _OWNER_PASSWORDS is not a JSON object of passwords by database."
        )
    asyncio.run(make_databases(admin_url, passwords, owners))
    make_bucket(os.environ.get("LAUNDRY_S3_ENDPOINT_URL"), bucket, *keys)
    print(f"databases {', '.join(passwords)} and bucket {bucket} are there")


def _needed(name: str) -> str:
    value = given(name)
    if value is None:
        raise KeyError(name)
    return value


if __name__ == "__main__":
    main()
