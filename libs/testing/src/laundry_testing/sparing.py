"""Spares a run of thousands of tests what each process of a service does once."""

import functools
import os
import ssl
import sys
from typing import Any

import certifi


def spare() -> None:
    """Share whom HTTP clients trust, which each reads for 13 ms, and answer httpcore's search for sniffio."""
    make = ssl.create_default_context
    # Beside the public ones those of this machine, which SSL_CERT_FILE names; never the tests' own files.
    shared = {certifi.where(), os.environ.get("SSL_CERT_FILE", "")}
    context_of = functools.cache(lambda file: make(cafile=file))

    def create_default_context(*arguments: Any, **options: Any) -> ssl.SSLContext:
        if arguments or options.keys() != {"cafile"} or options["cafile"] not in shared:
            return make(*arguments, **options)
        return context_of(options["cafile"])

    ssl.create_default_context = create_default_context
    # As the services do: laundry_service.left_out.
    sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]
