"""What a study compares: cells, each a set of settings of its own and a concurrency."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import JsonValue

from specreason.config import ReasoningSettings, Scheme, Settings
from specreason.config.knobs import Section
from specreason.eval.rows import compact

SCHEME = "reasoning.scheme"
STUDIED = ("reasoning", "sampling", "policy")
"""The sections of the settings in which cells may differ."""

# Where one model writes everything, nothing is drafted, scored or rejected.
_OF_DRAFTS = frozenset(
    f"reasoning.{name}"
    for name in ("speculate", "lookahead", "drafts_per_step", "schedule", "on_reject", "budget_counts")
)


@dataclass(frozen=True, slots=True)
class Cell:
    """Settings by dotted key, the scheme among them, and how many problems are solved at once."""

    overrides: tuple[tuple[str, JsonValue], ...]
    concurrency: int = 1

    @property
    def scheme(self) -> str:
        """The scheme, as text."""
        return str(self.value(SCHEME))

    @property
    def label(self) -> str:
        """The cell's name in the store: everything that sets it apart."""
        others = (f"{key}={value_text(value)}" for key, value in self.overrides if key != SCHEME)
        return " ".join([self.scheme, *others, f"at-once={self.concurrency}"])

    def value(self, key: str) -> JsonValue:
        """What the cell sets `key` to; None if it leaves it as it is."""
        return dict(self.overrides).get(key)

    def settings(self, common: Settings) -> Settings:
        """The settings of a run in this cell. Raises ValidationError for one that cannot be."""
        settings = common
        for key, value in self.overrides:
            settings = _with(settings, key, value)
        return settings


def cell(scheme: str, concurrency: int = 1, **settings: JsonValue) -> Cell:
    """A cell of this scheme with settings of the section `reasoning`, and knobs of its policy."""
    policy = f"policy.{Scheme.parse(scheme).policy}"
    others = (
        (f"{'reasoning' if name in ReasoningSettings.model_fields else policy}.{name}", value)
        for name, value in settings.items()
    )
    return Cell(((SCHEME, scheme), *sorted(others)), concurrency)


def cells_of(
    varied: Mapping[str, Sequence[JsonValue]], concurrency: Sequence[int] = (1,)
) -> tuple[Cell, ...]:
    """Every combination of values, by dotted key. What makes no difference for a scheme is dropped."""
    return tuple({made.label: made for made in _product(varied, concurrency)}.values())


def _product(varied: Mapping[str, Sequence[JsonValue]], concurrency: Sequence[int]) -> Iterator[Cell]:
    for at_once, values in itertools.product(concurrency, itertools.product(*varied.values())):
        overrides = dict(zip(varied, values, strict=True))
        scheme = str(overrides.pop(SCHEME))
        kept = sorted((key, value) for key, value in overrides.items() if matters(key, scheme))
        yield Cell(((SCHEME, scheme), *kept), at_once)


def matters(key: str, scheme: str) -> bool:
    """Whether a setting can make a difference under a scheme."""
    section, _, rest = key.partition(".")
    if section == "policy":
        return rest.partition(".")[0] == Scheme.parse(scheme).policy
    return key not in _OF_DRAFTS or speculates(scheme)


def speculates(scheme: str) -> bool:
    """Whether a scheme has drafts to judge."""
    return Scheme.parse(scheme).speculates


def studied(settings: Settings) -> dict[str, dict[str, Any]]:
    """The sections in which cells may differ, for JSON. Without the seed: each run has its own."""
    sections = settings.model_dump(mode="json", include=set(STUDIED))
    sections["sampling"].pop("seed", None)
    return sections


def flat(sections: Mapping[str, Any], prefix: str = "") -> dict[str, JsonValue]:
    """Settings by dotted key."""
    found: dict[str, JsonValue] = {}
    for name, value in sections.items():
        inner = cast("Mapping[str, Any]", value)
        found |= flat(inner, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def varying(cells: Sequence[Cell]) -> list[str]:
    """The keys, other than the scheme, in which cells differ from others for which the key matters too."""
    keys = dict.fromkeys(key for each in cells for key, _ in each.overrides if key != SCHEME)
    return [
        key
        for key in keys
        if len({compact(each.value(key)) for each in cells if matters(key, each.scheme)}) > 1
    ]


def short_name(cell: Cell, keys: Sequence[str], *, loads: bool) -> str:
    """The scheme with the values of `keys`; `loads`: also the concurrency."""
    values = {key: value for key, value in cell.overrides if key in keys}
    parts = [f"{_leaf(key, keys)}={value_text(value)}" for key, value in values.items()]
    return " ".join([cell.scheme, *parts, *([f"{cell.concurrency} at once"] if loads else [])])


def short_names(cells: Sequence[Cell]) -> dict[str, str]:
    """By label: names that say only what differs among these cells, for tables and figures."""
    keys, loads = varying(cells), len({each.concurrency for each in cells}) > 1
    return {each.label: short_name(each, keys, loads=loads) for each in cells}


def value_text(value: JsonValue) -> str:
    """A value as it is written in a label: text as it is where that is unmistakable."""
    if isinstance(value, str) and value.isprintable() and value and " " not in value:
        return value
    return str(int(value)) if isinstance(value, float) and value.is_integer() else compact(value)


def _leaf(key: str, keys: Sequence[str]) -> str:
    """The last part of a key, or the whole key where others end alike."""
    leaf = key.rpartition(".")[2]
    return leaf if [other.rpartition(".")[2] for other in keys].count(leaf) == 1 else key


def _with(section: Section, key: str, value: JsonValue) -> Any:
    name, _, rest = key.partition(".")
    changed = _with(getattr(section, name), rest, value) if rest else value
    return type(section).model_validate({**dict(section), name: changed})
