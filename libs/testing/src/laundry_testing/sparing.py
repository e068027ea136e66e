"""Spares a run of thousands of tests what each process of a service does once."""

import functools
import ssl
import sys
from typing import Any

import certifi


def spare() -> None:
    """Share whom HTTP clients trust, which each reads for 13 ms, and answer httpcore's search for sniffio."""
    make = ssl.create_default_context
    public = functools.cache(lambda: make(cafile=certifi.where()))

    def create_default_context(*arguments: Any, **options: Any) -> ssl.SSLContext:
        return (
            public()
            if not arguments and options == {"cafile": certifi.where()}
            else make(*arguments, **options)
        )

    ssl.create_default_context = create_default_context
    # As the services do: laundry_service.left_out.
    sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]
