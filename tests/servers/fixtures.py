"""The servers as fixtures: each is started once per test process, when the first test asks for it.

They are of the session's scope, and those are set up before the function-scoped look at what a test leaves
behind. So ask for them by parameter: `request.getfixturevalue` in the midst of a test would come too late.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autoexec.demo.service import httpbin_service
from tests.servers.behaving import behaving_service, reset
from tests.servers.broken import Broken, broken_service


@pytest.fixture(scope="session")
def behaving_address() -> Iterator[str]:
    """Where the behaving server answers; tests use `behaving`."""
    pytest.importorskip("aiohttp")
    with behaving_service() as address:
        yield address


@pytest.fixture
def behaving(behaving_address: str) -> str:
    """The address of the behaving server, which has forgotten all earlier calls."""
    reset(behaving_address)
    return behaving_address


@pytest.fixture(scope="session")
def broken() -> Iterator[Broken]:
    """The addresses of the server that breaks the rules."""
    with broken_service() as addresses:
        yield addresses


@pytest.fixture(scope="session")
def httpbin_url() -> Iterator[str]:
    """The address of httpbin and of the examples' API."""
    pytest.importorskip("httpbin")
    pytest.importorskip("waitress")
    with httpbin_service() as address:
        yield address
