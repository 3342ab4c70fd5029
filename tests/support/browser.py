"""Debian's Chromium without a screen, for tests; they are skipped, and say why, where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, StorageState, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed (Debian: apt install chromium)")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; its sandbox needs rights that root in a container has not."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def context(
    browser: Browser, width: int, theme: Literal["light", "dark"], state: StorageState | None, *, script: bool = True
) -> BrowserContext:
    """A window of that width and theme, signed in if `state` has a session. The policy is off for axe's own script."""
    return browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=theme,
        storage_state=state,
        java_script_enabled=script,
        bypass_csp=True,
    )
