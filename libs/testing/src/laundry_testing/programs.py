"""Where the browsers are that tests drive."""

import os
import shutil

import pytest

PACKAGES = {
    "chromium": "chromium",
    "firefox-esr": "firefox-esr",
    "WebKitWebDriver": "webkit2gtk-driver",
    "Xvfb": "xvfb",
}


def program(name: str, *, whole: bool = False) -> str:
    """Find a program; without it the test is skipped, but never where everything must be tested.

    Args:
        whole: the browser itself, where its engine alone would do for most tests.
    """
    found = os.environ.get("LAUNDRY_CHROMIUM") if name == "chromium" else None
    # The same engine without the browser around it: a new page costs a third of the processor time.
    engine = name == "chromium" and not whole
    found = found or (shutil.which("chromium-headless-shell") if engine else None)
    found = found or shutil.which(name)
    if found is None:
        missing = f"{name} is not installed: apt-get install {PACKAGES[name]}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
