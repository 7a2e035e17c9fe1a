"""The memory traffic and the floating-point operations of one launch, to be held against its device's limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from common.contract import Job, Loaded, Probe
from orchestrator.judge import step_bytes
from orchestrator.judge.gates.physics import Traffic
from orchestrator.models import dimensions
from orchestrator.models.dimensions import FLOAT_BYTES, ParameterCounts
from orchestrator.models.formats.binary import UnreadableArtefact
from orchestrator.models.formats.tensor_list import read_artefact


@dataclass(frozen=True)
class StepReads:
    """Bytes that a decode step must read.

    weights:  of the weights, whatever the batch
    kv:       of the KV cache at its mean depth, for all sequences of the batch; None if its dtype is unknown
    source:   where the bytes of the weights were read, as text
    """

    weights: int
    kv: float | None
    source: str

    @property
    def total(self) -> float:
        """Bytes of weights and cache; of the weights alone if the cache is unknown."""
        return self.weights + (self.kv or 0)


def step_reads(
    loaded: Loaded, weights: ParameterCounts, config: dict[str, Any], job: Job, artefact: Path | None
) -> StepReads:
    """Bytes from the tensor table of the converted artefact; without one, from those that the engine reports.

    read = min(table's read bytes, weight_bytes - (table's total - table's read)), or weight_bytes - embedding.

    The input embedding is looked up, not read, and does not count unless it is tied, that is, the output head as well.
    Where table and report differ, the smaller value counts: an honest launch must never fail the physics gate.
    """
    read, source = loaded.weight_bytes - _embedding(loaded, weights), "weights as the engine reports them"
    if artefact is not None:
        try:
            table = step_bytes.step_bytes(read_artefact(artefact), config)
            looked_up = table.total - table.read
            read, source = min(table.read, loaded.weight_bytes - looked_up), table.source
        except (UnreadableArtefact, OSError) as error:
            source += f" ({str(error).splitlines()[0]})"
    shape = job.shape
    cache = dimensions.read_per_step(
        config, loaded.kv_dtype, shape.batch_size, len(job.prompts[0][0]), shape.new_tokens
    )
    return StepReads(max(0, read), cache, source)


def _embedding(loaded: Loaded, weights: ParameterCounts) -> int:
    """Bytes of the input embedding as loaded; of a tied one, those of the second copy, if the engine holds two."""
    size = max((FLOAT_BYTES.get(part, 4) for part in loaded.dtype.split("+")), default=4)
    if weights.head:
        return weights.embedding * size
    is_held_twice = loaded.weight_bytes >= size * (weights.parameters + weights.embedding) * 0.99
    return weights.embedding * size if is_held_twice else 0


def step_traffic(
    reads: StepReads, decode_tps: list[float], batch: int, probes: dict[str, Probe | None], devices: int = 1
) -> Traffic | None:
    """The input of the physics gate and of mbu; None without a decode speed.

    steps_per_s = median(decode_tps) / batch, bandwidth = devices * best_gbs * 10^9 bytes/s of each probe.

    decode_tps:  tokens/s of the whole batch, one value per iteration
    probes:      the launch's bandwidth probes of one device, by "before" and "after"; None for one that failed
    devices:     number of devices that read in parallel
    """
    if not decode_tps:
        return None
    valid = [probe for probe in probes.values() if probe]
    caches = [probe.last_level_cache for probe in valid if probe.last_level_cache]
    return Traffic(
        step_bytes=reads.total,
        steps_per_s=median(decode_tps) / batch,
        bandwidth=tuple(devices * probe.best_gbs * 1e9 for probe in valid),
        cache_bytes=max(caches, default=None),
    )


def prefill_flops(weights: ParameterCounts, config: dict[str, Any], batch: int, prompt_tokens: int) -> float:
    """Floating-point operations of one prefill of `batch` prompts of n tokens.

        batch * (2 * linear weights * n + 4 * layers * heads * head size * n (n + 1) / 2 + 2 * head weights)

    Kaplan et al. 2020, table 1, with causal attention: half of the pairs of tokens. Only the last position's logits
    are needed, so the head counts once per prompt.
    """
    layers, heads = config.get("num_hidden_layers") or 0, config.get("num_attention_heads") or 0
    attention = 4 * layers * heads * (dimensions.head_size(config) or 0) * prompt_tokens * (prompt_tokens + 1) / 2
    head = 2 * (weights.head or weights.embedding)
    return batch * (2 * weights.linear * prompt_tokens + attention + head)
