"""The address of a database, as operators have it and as the drivers take it."""

DRIVERS = ("postgresql+asyncpg", "postgresql", "postgres")


def asyncpg_url(address: str) -> str:
    """Return SQLAlchemy's URL of an address that libpq, CloudNativePG or SQLAlchemy would write.

    Raises:
        ValueError: it is no address of PostgreSQL; the text does not repeat it, as it may hold a password.
    """
    # Services without a database read settings, too, and this import takes 10 MB.
    from sqlalchemy.engine import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise ValueError(
            "it is no address: postgresql://user:password@host/database, with percent-encoded passwords"
        ) from None
    if url.drivername not in DRIVERS:
        raise ValueError(f"it begins with {url.drivername[:20]}://; it must begin with postgresql://")
    query = dict(url.query)
    # libpq's name for what the driver calls ssl.
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    return url.set(drivername="postgresql+asyncpg", query=query).render_as_string(hide_password=False)
