"""The quantities that a constraint, an objective or a comparison can name.

For each: how it is read, in which unit, and which direction is better.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.base import stats
from orchestrator.results.row import Row

SIZES = {"MiB": 1.0, "GiB": 1024.0, "TiB": 1024.0**2, "MB": 1e6 / 2**20, "GB": 1e9 / 2**20, "TB": 1e12 / 2**20}
TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}


@dataclass(frozen=True)
class Reading:
    """What a row says about a quantity, in its canonical unit. An unknown `value` is None, never 0, and has a `why`.

    `low` and `high` are None where too few launches were made for an interval. `launches` has the value of every
    launch by block, empty where the row does not hold them one by one.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    launches: dict[int, float] | None = None
    why: str | None = None


@dataclass(frozen=True)
class Metric:
    """One measured quantity. `units` maps what a user may write to its size in the canonical unit, which is `unit`."""

    key: str
    title: str
    unit: str
    units: dict[str, float]
    more_is_better: bool
    meaning: str
    read: Callable[[Row], Reading]
    example: str
    words: tuple[str, str] = ("faster", "slower")  # of a row that is better, and of one that is worse
    drifts: bool = True  # with the speed of the machine

    def parse(self, text: str) -> Bound:
        """A limit as the user wrote it: "16GB", "200ms", "99%". Raises ValueError saying what is expected."""
        found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(\S*)\s*", text)
        folded = {name.lower(): name for name in self.units}
        name = folded.get(found[2].lower()) if found else None
        if found is None or name is None:
            raise ValueError(f"expected a number{self._units_hint()}, for example {self.example}")
        value = float(found[1]) * self.units[name]
        if not math.isfinite(value):
            raise ValueError(f"{text.strip()} is larger than any number of use here")
        if self.unit == "" and value > 1:
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


@dataclass(frozen=True)
class Bound:
    """A limit in the quantity's canonical unit, with the unit it was given in and the text as given."""

    value: float
    unit: str
    asked: str


def _digits(value: float, digits: int) -> str:
    """So many significant digits without an exponent where that stays readable."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if not 1e-3 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}g}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _by_block(row: Row, values: list[float | None]) -> dict[int, float]:
    """Values in the order of the row's blocks; empty where a launch lacks one, since the others' blocks are unknown."""
    blocks = row.get("blocks") or []
    if len(blocks) != len(values) or None in values:
        return {}
    return dict(zip(blocks, values, strict=True))


def _speed(name: str) -> Callable[[Row], Reading]:
    def read(row: Row) -> Reading:
        found = row.get(name)
        if not found:
            return Reading(None, why="not measured")
        return Reading(found["median"], found["low"], found["high"], _by_block(row, found["values"]))

    return read


def _memory(row: Row) -> Reading:
    """The largest peak of any launch; low and high are the range of the launches."""
    on_cpu = row["device"] == "cpu"
    names = ("peak_host_mib", "peak_mapped_file_mib") if on_cpu else ("peak_device_mib",)
    if any(row.get(name) is None for name in names):
        return Reading(None, why="no peak was measured")
    value = sum(row[name] for name in names)
    each = row.get("each_launch") or {}
    columns = [each.get(name) or [] for name in names]
    known = all(columns) and len({len(column) for column in columns}) == 1
    sums = [None if None in parts else sum(parts) for parts in zip(*columns, strict=True)] if known else []
    launches = _by_block(row, sums)
    if len(launches) < stats.MIN_LAUNCHES:
        return Reading(value, launches=launches)
    return Reading(value, min(launches.values()), max(value, *launches.values()), launches)


def _energy(row: Row) -> Reading:
    value = row.get("energy_j_per_token")
    if value is None:
        return Reading(None, why=row.get("energy_validity") or "not measured")
    launches = _by_block(row, (row.get("each_launch") or {}).get("energy_j_per_token") or [])
    interval = stats.order_statistic_interval(list(launches.values()))
    low, high, _ = interval or (None, None, None)
    return Reading(value, low, high, launches)


def _quality(name: str) -> Callable[[Row], Reading]:
    """One examination a variant, on one text: a figure without an interval."""

    def read(row: Row) -> Reading:
        value = (row.get("quality") or {}).get(name)
        return Reading(value, why=None if value is not None else row.get("quality_reason") or "not examined")

    return read


_TPS = {"": 1.0, "tokens/s": 1.0, "tok/s": 1.0, "t/s": 1.0}
_ALL = (
    Metric("decode_tps", "decode speed", "tokens/s", _TPS, True,
             "tokens per second of the whole batch from the first token to the last", _speed("decode_tps"), "20"),
    Metric("prefill_tps", "prefill speed", "tokens/s", _TPS, True,
             "prompt tokens per second of the whole batch until the first token", _speed("prefill_tps"), "500"),
    Metric("e2e_tps", "throughput", "tokens/s", _TPS, True,
             "new tokens per second of the whole batch from submit to the last token, prompt included",
             _speed("e2e_tps"), "20"),
    Metric("ttft", "TTFT", "s", TIMES, False, "time from submit to the first token", _speed("ttft_s"), "200ms"),
    Metric("itl", "ITL", "s", TIMES, False, "median time between tokens", _speed("itl_s"), "20ms"),
    Metric("memory", "peak memory", "MiB", SIZES, False,
             "largest peak of any launch, weights and KV cache included: device memory on an accelerator; on a CPU the "
             "process tree's own memory plus the files that it maps",
             _memory, "16GB", ("smaller", "larger"), drifts=False),
    Metric("energy", "energy", "J/token", {"": 1.0, "J": 1.0, "mJ": 1e-3, "J/token": 1.0}, False,
             "joules per token as the counter reads them, idle power included", _energy, "0.5J", ("smaller", "larger")),
    Metric("kl", "KL", "nats", {"": 1.0, "nats": 1.0}, False,
             "mean divergence of the predictions from the float32 reference", _quality("kl"), "0.01"),
    Metric("top1", "top-1", "", {"": 1.0, "%": 0.01}, True,
             "share of positions whose most probable token is the float32 reference's", _quality("top1"), "0.99"),
)  # fmt: skip
METRICS: dict[str, Metric] = {each.key: each for each in _ALL}


def launches(row: Row, quantity: Metric) -> dict[int, float]:
    """A row's launches by block; empty where one of them is no positive number, of which there is no ratio."""
    found = quantity.read(row).launches or {}
    return found if all(value > 0 for value in found.values()) else {}


def as_json(quantity: Metric) -> dict[str, Any]:
    """What a program must know to read a value of it."""
    return {
        "key": quantity.key, "title": quantity.title, "unit": quantity.unit or "share", "meaning": quantity.meaning,
        "better": "more" if quantity.more_is_better else "less",
    }  # fmt: skip
