"""The Grafana dashboard asks only for metrics, and labels, that the server has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from serving import served

FILE = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboard.json"
_METRIC = re.compile(r"\b(specreason_\w+|process_\w+)")
_BY = re.compile(r"by \(([^)]*)\)")


@pytest.fixture
def dashboard() -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))


async def test_every_panel_asks_for_what_is_there(dashboard: Any) -> None:
    async with served() as state:
        await state.chat()
        page = (await state.client.get("/metrics")).text
    there = {line.split(" ")[2] for line in page.splitlines() if line.startswith("# TYPE")}
    labels = set(re.findall(r"(\w+)=\"", page)) | {"job", "instance"}
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 15
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        for target in panel["targets"]:
            named = _METRIC.findall(target["expr"])
            assert named, target["expr"]
            for name in named:
                assert {name, name.removesuffix("_bucket")} & there, name
            used = {label.strip() for group in _BY.findall(target["expr"]) for label in group.split(",")}
            assert used <= labels | {"kind"}, target["expr"]


def test_panels_do_not_overlap(dashboard: Any) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        taken |= cells


def test_its_variables_are_all_defined(dashboard: Any) -> None:
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", FILE.read_text(encoding="utf-8"))) - {"__rate_interval", "__all"}
    assert used <= defined
