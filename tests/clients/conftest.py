"""The server that `run.sh` has started; without it there is nothing to test here."""

import os
from typing import Any

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "CLIENTS_URL" not in os.environ:
        for item in items:
            if item.path.parent.name == "clients":
                item.add_marker(pytest.mark.skip(reason="make test-clients starts a server and the clients"))


@pytest.fixture(scope="session")
def url() -> str:
    return f"{os.environ['CLIENTS_URL']}/v1"


@pytest.fixture(scope="session")
def problem() -> str:
    return "Modulo 100, start with 63.\n1) *28 +29\n2) digits\n3) *22\n4) *26\nWhat comes out?"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
