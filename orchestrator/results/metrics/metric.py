"""A metric: how it is named, computed, read from a row, written, and limited."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from statistics import median
from typing import Any, NamedTuple

from orchestrator.base import stats
from orchestrator.base.stats import Summary
from orchestrator.results.launch_record import LaunchRecord
from orchestrator.results.row import Row

RATES = {"": 1.0, "tokens/s": 1.0, "tok/s": 1.0, "t/s": 1.0}
SIZES = {"MiB": 1.0, "GiB": 1024.0, "TiB": 1024.0**2, "MB": 1e6 / 2**20, "GB": 1e9 / 2**20, "TB": 1e12 / 2**20}
TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
ENERGIES = {"": 1.0, "J": 1.0, "mJ": 1e-3, "J/token": 1.0}
SHARES = {"": 1.0, "%": 0.01}
SMALLER = ("smaller", "larger")  # Metric.words of what is no speed


class Group(Enum):
    """The subject of a metric, and so the table that it stands in."""

    TIME = "latency"
    MEMORY = "split"
    LIMIT = "limit"
    ENERGY = "energy"
    QUALITY = "quality"


class Style(Enum):
    """How a cell of a table is written; the value is what the page calls it."""

    SPEED = "speed"  # an interval, or the outcome of a row that is not ok
    INTERVAL = "interval"
    MEDIAN = "median"  # an interval of which a table shows the median only
    NUMBER = "number"
    SMALL = "small"
    SCIENTIFIC = "scientific"
    PERCENT = "percent"
    FINE_PERCENT = "fine"
    UTILISATION = "utilisation"  # a share of a measured peak, which may lie too low


class Over(Enum):
    """How a row's value is derived from those of its launches."""

    SUMMARY = "median of the launches' medians, with its interval"
    MEDIAN = "median of the launches"
    LARGEST = "largest of the launches"


class Reading(NamedTuple):
    """A metric's value in a row, in its canonical unit. An unknown `value` is None, never 0, and has a `why`.

    `low` and `high` are None if there are too few launches for an interval. `launches` holds the value of every launch
    by block, empty if the row does not list them. `word` is what a table shows for an unknown value, if that is not the
    metric's `absent`.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    launches: dict[int, float] | None = None
    why: str | None = None
    word: str | None = None


@dataclass(frozen=True)
class Metric:
    """One measured quantity: everything that the outputs need to know of it.

    key:        its name in `choose` and `compare`
    field:      its name in a row, and so the column in CSV and store; "quality.kl" lies in a group of the row. Empty
                if it is computed from several fields
    title:      its name in a sentence;  short: in a column's header
    unit:       canonical.  `units`: what a user may write, in canonical units.  `display`: the one that tables use
    formula, source:    how it is computed, and where its input comes from, for the methodology
    better:     "more" or "less"; None if neither is
    drifts:     whether it changes with the speed of the machine
    of_launch:  its values in a launch (one per iteration, for Over.SUMMARY); None if a row has it from elsewhere
    listed:     whether the row holds the value of every launch, under `each_launch`
    reader:     reads it from a row, if that takes more than its field
    limit, example:     the option of `choose` that bounds it, and an example of a bound
    objective:  its name for `choose --objective`;  comparable: by `compare`
    absent:     what a table shows for an unknown value
    table, page, terminal:  where it has a column. `page` False: a column that is hidden at first; None: no column
    """

    key: str
    field: str
    title: str
    short: str
    meaning: str
    formula: str
    source: str
    group: Group
    style: Style
    unit: str = ""
    units: Mapping[str, float] = dataclasses.field(default_factory=lambda: SHARES)
    display: str = ""
    better: str | None = None
    words: tuple[str, str] = ("faster", "slower")  # of a row that is better, and of one that is worse
    drifts: bool = True
    of_launch: Callable[[LaunchRecord], Any] | None = None
    over: Over = Over.SUMMARY
    listed: bool = False
    reader: Callable[[Row], Reading] | None = None
    limit: str | None = None
    example: str = ""
    objective: str | None = None
    comparable: bool = False
    absent: str = "?"
    table: bool = True
    page: bool | None = None
    terminal: bool = False

    @property
    def head(self) -> str:
        """The header of its column: "TTFT ms"."""
        return f"{self.short} {self.display}".rstrip()

    @property
    def unit_name(self) -> str:
        """The canonical unit as a table of metrics names it."""
        return "share" if self.units is SHARES else self.unit

    @property
    def scale(self) -> float:
        """The factor from the canonical unit to that of tables."""
        return 1 / self.units[self.display] if self.display else 1.0

    @property
    def more_is_better(self) -> bool:
        """Whether a higher value is better."""
        return self.better == "more"

    @property
    def is_summary(self) -> bool:
        """Whether a row holds a Summary of it, not a number."""
        return self.of_launch is not None and self.over is Over.SUMMARY

    def by_launch(self, launches: list[LaunchRecord]) -> list[Any]:
        """Its values in each of the launches."""
        return [self.of_launch(launch) for launch in launches] if self.of_launch else []

    def of_launches(self, launches: list[LaunchRecord]) -> Summary | float | None:
        """The row's value; None if it is unknown in every launch."""
        values = self.by_launch(launches)
        if self.over is Over.SUMMARY:
            measured = [value for value in values if value]
            iterations = [figure for value in measured for figure in value]
            return stats.summary([median(value) for value in measured], iterations)
        measured = [value for value in values if value is not None]
        combine = max if self.over is Over.LARGEST else median
        return combine(measured) if measured else None

    def read(self, row: Row) -> Reading:
        """Its value in a row."""
        return self.reader(row) if self.reader else _of_field(row, self.field)

    def parse(self, text: str) -> Bound:
        """A limit as the user wrote it: "16GB", "200ms", "99%". Raises ValueError saying what is expected."""
        parts = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(\S*)\s*", text)
        folded = {name.lower(): name for name in self.units}
        name = folded.get(parts[2].lower()) if parts else None
        if parts is None or name is None:
            raise ValueError(f"expected a number{self._units_hint()}, for example {self.example}")
        value = float(parts[1]) * self.units[name]
        if not math.isfinite(value):
            raise ValueError(f"{text.strip()} is larger than any number of use here")
        if self.units is SHARES and value > 1:
            raise ValueError("a share lies between 0 and 1: 0.99 or 99%")
        return Bound(value, name, text.strip())

    def _units_hint(self) -> str:
        named = [name for name in self.units if name]
        return f" with a unit ({', '.join(named)})" if "" not in self.units else ""

    def written(self, value: float | None, unit: str | None = None, digits: int = 4) -> str:
        """`value` (canonical) in one of `units`, by default the one that reads best: "15.2 GB", "99.1 %"; "?"."""
        if value is None:
            return "?"
        name = self.default_unit(value) if unit is None else unit
        label = {"": self.unit, "%": "%"}.get(name, name)
        return f"{_digits(value / self.units[name], digits)}{' ' + label if label else ''}"

    def default_unit(self, value: float) -> str:
        """The one of `units` in which `value` reads best."""
        if self.units is TIMES:
            return "ms" if abs(value) < 1 else "s"
        if self.units is SIZES:
            return "MiB" if abs(value) < 10 * 1024 else "GiB"
        return "%" if "%" in self.units else ""

    def as_json(self) -> dict[str, Any]:
        """What a program needs to interpret its values."""
        return {
            "key": self.key,
            "title": self.title,
            "unit": self.unit_name,
            "meaning": self.meaning,
            "better": self.better,
        }


@dataclass(frozen=True)
class Bound:
    """A limit in the metric's canonical unit, with the unit it was given in and the text as given."""

    value: float
    unit: str
    asked: str


def by_block(row: Row, values: list[float | None]) -> dict[int, float]:
    """Values by the row's blocks, in whose order they are; empty if one is missing: the others' blocks are unknown."""
    blocks = row.get("blocks") or []
    if len(blocks) != len(values) or None in values:
        return {}
    return dict(zip(blocks, values, strict=True))


def _of_field(row: Row, field: str) -> Reading:
    """The reading of a field that holds a summary over launches, or a number."""
    name, _, inner = field.partition(".")
    value = row.get(name)
    if inner:
        value = (value or {}).get(inner)
    if isinstance(value, dict):
        return Reading(value["median"], value["low"], value["high"], by_block(row, value["values"]))
    return Reading(value, why=None if value is not None else "not measured")


def _digits(value: float, digits: int) -> str:
    """`value` with so many significant digits, without an exponent if that stays readable."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if not 1e-3 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}g}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
