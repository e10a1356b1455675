"""Drawing: a chart becomes an SVG that takes its colours from the page, in light and in dark.

Vega-Lite passes colours on as it is given them, so `var(--c1)` ends up in the SVG. Nothing of the library is
in the report: it opens without scripts and without a network. Colours are those of Okabe and Ito, which
the colour-blind can tell apart; shapes and texts say the same again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair
import vl_convert

_alt: Any = altair
_convert: Any = vl_convert

_PADDING = {"left": 40, "right": 40, "top": 5, "bottom": 5}
SERIES = [f"var(--c{number})" for number in range(1, 8)]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"]
STYLE = """\
:root { color-scheme: light dark; --page: #ffffff; --ink: #1b1b1b; --faint: #6b6b6b; --line: #d9d9d9;
  --c1: #0072b2; --c2: #d55e00; --c3: #009e73; --c4: #a6608a; --c5: #b07d00; --c6: #3a8fc2; --c7: #5c5c5c; }
@media (prefers-color-scheme: dark) { :root { --page: #16181b; --ink: #e8e8e8; --faint: #a3a3a3;
  --line: #3a3d42;
  --c1: #56b4e9; --c2: #ff8c42; --c3: #2ecfa0; --c4: #e29cc8; --c5: #f0c542; --c6: #8fd0ff; --c7: #bdbdbd; } }
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn chart. `name` is its file's; `text` says what is to be seen in it."""

    name: str
    title: str
    text: str
    svg: str

    @property
    def alone(self) -> str:
        """The SVG as a file of its own, with its colours."""
        head, rest = self.svg.split(">", 1)
        return f"{head}><style>{STYLE}svg {{ background: var(--page); }}</style>{rest}\n"


def drawn(name: str, title: str, text: str, chart: Any, *, width: int = 560, height: int = 280) -> Figure:
    """The chart as a figure."""
    styled = (
        # Browsers' letters are wider than those that the library measures with.
        chart.properties(width=width, height=height, background="transparent", padding=_PADDING)
        .configure(font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--ink)", titleColor="var(--ink)", gridColor="var(--line)",
            domainColor="var(--faint)", tickColor="var(--faint)", labelFontSize=12, titleFontSize=12,
            titleFontWeight="normal",
        )
        .configure_legend(
            labelColor="var(--ink)", titleColor="var(--ink)", labelFontSize=12, titleFontSize=12,
            labelLimit=320, orient="bottom", columns=3, columnPadding=48,
        )
        .configure_text(color="var(--ink)", fontSize=11)
    )  # fmt: skip
    svg: str = _convert.vegalite_to_svg(json.dumps(styled.to_dict(validate=False)))
    return Figure(name, title, text, svg)


def data(rows: Sequence[dict[str, Any]]) -> Any:
    """Rows as the inline data of a chart."""
    return _alt.Data(values=list(rows))


def colour(field: str, names: Sequence[str], numbers: Sequence[int] = ()) -> Any:
    """A nominal colour channel in the order of `names`; `numbers`: of the colours, from 1."""
    colours = [f"var(--c{n})" for n in numbers] or [SERIES[n % len(SERIES)] for n in range(len(names))]
    scale = _alt.Scale(domain=list(names), range=colours)
    return _alt.Color(f"{field}:N", scale=scale, title=None, sort=list(names))


def shape(field: str, names: Sequence[str]) -> Any:
    """A nominal shape channel in the order of `names`."""
    shapes = [SHAPES[n % len(SHAPES)] for n in range(len(names))]
    return _alt.Shape(f"{field}:N", scale=_alt.Scale(domain=list(names), range=shapes), title=None)


def quantity(
    direction: Literal["x", "y"],
    field: str,
    title: str,
    *,
    zero: bool = False,
    domain: Sequence[float] | None = None,
    axis: Mapping[str, Any] | None = None,
) -> Any:
    """A numeric x or y channel; without `zero` its axis begins where the data do."""
    scale = _alt.Scale(zero=zero) if domain is None else _alt.Scale(domain=list(domain))
    channel = _alt.X if direction == "x" else _alt.Y
    return channel(f"{field}:Q", title=title, scale=scale, axis=_alt.Axis(**axis or {}))


def layered(*charts: Any) -> Any:
    """Charts on top of one another."""
    return _alt.layer(*charts)


def chart(rows: Sequence[dict[str, Any]]) -> Any:
    """A chart of these rows, to be given a mark."""
    return _alt.Chart(data(rows))
