"""A row of summary.json (schema 1) as a record: every field, in order.

The order is that of summary.csv's columns, on which spreadsheets may rely. What a later version adds comes last.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from orchestrator.base.stats import Summary

Figure = Summary | None
Number = float | None
Text = str | None


@dataclass(frozen=True)
class Contender:
    """Which engine and variant, on which work, where. Rows compare only where `workload`, a hash, is the same."""

    engine: str
    title: str
    engine_version: str
    variant: str
    precision: str
    scheme: str
    settings: dict[str, Any]
    model: str
    device: str
    device_name: str
    machine: str
    isolation: str
    batch_size: int
    prompt_tokens: int
    new_tokens: int
    threads: int | None
    workload: Text
    artefact_scheme: Text
    artefact_source: Text
    artefact_revision: Text
    artefact_digest: Text


@dataclass(frozen=True)
class Ending:
    """How the cell ended, and how much was measured. `blocks` are those of the launches that are ok, ascending."""

    outcome: str
    reason: Text
    log_tail: Text
    started: str
    launches: int
    blocks: list[int]
    repeated_launches: int
    iterations: int


@dataclass(frozen=True)
class Speed:
    """Tokens/s and seconds. A summary has `median`, `low`, `high`, `level`, `mean`, `std`, and `values` by launch.

    `itl_quantiles` are of all steps: `count`, `shares`, `seconds`.
    """

    decode_tps: Figure
    prefill_tps: Figure
    e2e_tps: Figure
    ttft_s: Figure
    itl_s: Figure
    itl_quantiles: dict[str, Any] | None
    itl_p90_s: Number
    itl_p99_s: Number
    load_s: Number
    first_generate_s: Number


@dataclass(frozen=True)
class Memory:
    """Memory in MiB: what each is stands in the methodology."""

    weights_mib: Number
    kv_mib: Number
    peak_host_mib: Number
    peak_mapped_file_mib: Number
    kv_needed_mib: Number
    peak_device_mib: Number
    peak_device_source: Text


@dataclass(frozen=True)
class Energy:
    """J/token; `each_launch` has memory and energy of every launch in the order of `blocks`."""

    energy_j_per_token: Number
    energy_idle_subtracted_j_per_token: Number
    energy_validity: Text
    each_launch: dict[str, list[Number]]


@dataclass(frozen=True)
class Limit:
    """Shares (1 = all) of what the device can; GB/s; `step_bytes` is what a decode step reads, with its source."""

    mbu: Number
    bandwidth_gbs: Number
    step_bytes: dict[str, Any] | None
    mfu: Number
    mfu_dtype: Text


@dataclass(frozen=True)
class Quality:
    """Closeness to the float32 reference, or `quality_reason`; what the variant answers to the exam's questions."""

    quality: dict[str, Number] | None
    quality_reason: Text
    answers: list[Any] | None


@dataclass(frozen=True)
class Checks:
    """What the engine says it loaded, what was checked, and what to know before using the row."""

    loaded: dict[str, Any] | None
    gates: dict[str, str]
    own_benchmark: dict[str, Any] | None
    flags: list[str]
    caveat: Text
    link: Text


@dataclass(frozen=True)
class Provenance:
    """From what the row was made, and how to repeat it."""

    image: Text
    image_id: Text
    artefact: Text
    reproduce: Text
    reproduce_commands: Text
    run_id: Text


@dataclass(frozen=True)
class RowRecord:
    """One row. `more` holds metrics that were added after schema 1 was published, and what a merge adds."""

    contender: Contender
    ending: Ending
    speed: Speed
    memory: Memory
    energy: Energy
    limit: Limit
    quality: Quality
    checks: Checks
    provenance: Provenance
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_fields(cls, values: dict[str, Any]) -> RowRecord:
        """From values by field name; a missing one is unknown (None), one that no group has goes to `more`."""
        more = dict(values)
        groups = {
            name: group(**{item.name: more.pop(item.name, None) for item in fields(group)})
            for name, group in GROUPS.items()
        }
        return cls(**groups, more=more)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> RowRecord:
        """From a row of summary.json, as any version of the suite wrote it."""
        figures = {item.name for item in fields(Speed) if item.type == "Figure"}
        return cls.from_fields(
            {name: Summary(**value) if name in figures and value else value for name, value in row.items()}
        )

    def as_json(self) -> dict[str, Any]:
        """As summary.json holds it."""
        values = {name: value for group in GROUPS for name, value in vars(getattr(self, group)).items()} | self.more
        return {name: value.as_json() if isinstance(value, Summary) else value for name, value in values.items()}


GROUPS: dict[str, Any] = {
    "contender": Contender,
    "ending": Ending,
    "speed": Speed,
    "memory": Memory,
    "energy": Energy,
    "limit": Limit,
    "quality": Quality,
    "checks": Checks,
    "provenance": Provenance,
}
