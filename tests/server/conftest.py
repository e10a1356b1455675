"""Logs go to pytest, not to a terminal."""

import pytest

from specreason.server.logs import structure


@pytest.fixture(autouse=True, scope="session")
def logs_to_pytest() -> None:
    structure()
