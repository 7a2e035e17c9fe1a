"""What one launch moved and computed, and how far that is from what its device can."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

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
    kv:       of the KV cache at its mean depth, all sequences of the batch; None where its dtype is unknown
    source:   where the bytes of the weights come from, for a reader
    """

    weights: int
    kv: float | None
    source: str

    @property
    def total(self) -> float:
        """Bytes of weights and cache; of weights alone where the cache is unknown."""
        return self.weights + (self.kv or 0)


def step_reads(
    loaded: dict[str, Any], weights: ParameterCounts, config: dict[str, Any], job: dict[str, Any], artefact: Path | None
) -> StepReads:
    """From the tensor table of the converted artefact; else from the bytes that the engine says it holds.

    read = min(table's read bytes, weight_bytes - (table's total - table's read)), or weight_bytes - embedding.

    The input embedding is looked up, not read, and is left out unless it is tied and so is the head as well. Where the
    table and the engine's own word differ, the smaller counts: a limit must never be set too low.
    """
    read, source = loaded["weight_bytes"] - _embedding(loaded, weights), "weights as the engine reports them"
    if artefact is not None:
        try:
            table = step_bytes.step_bytes(read_artefact(artefact), config)
            looked_up = table.total - table.read
            read, source = min(table.read, loaded["weight_bytes"] - looked_up), table.source
        except (UnreadableArtefact, OSError) as error:
            source += f" ({str(error).splitlines()[0]})"
    shape = job["shape"]
    cache = dimensions.read_per_step(
        config, loaded["kv_dtype"], shape["batch_size"], len(job["prompts"][0][0]), shape["new_tokens"]
    )
    return StepReads(max(0, read), cache, source)


def _embedding(loaded: dict[str, Any], weights: ParameterCounts) -> int:
    """Bytes of the input embedding as loaded, or of its second copy where the engine holds a tied one twice."""
    size = max((FLOAT_BYTES.get(part, 4) for part in loaded["dtype"].split("+")), default=4)
    if weights.head:
        return weights.embedding * size
    held_twice = loaded["weight_bytes"] >= size * (weights.parameters + weights.embedding) * 0.99
    return weights.embedding * size if held_twice else 0


def step_traffic(
    reads: StepReads, decode_tps: list[float], batch: int, probes: dict[str, Any], devices: int = 1
) -> Traffic | None:
    """For the physics gate and mbu; None without a decode speed.

    steps_per_s = median(decode_tps) / batch, bandwidth = devices * best_gbs * 10^9 bytes/s of each probe.

    decode_tps:  tokens/s of the whole batch, one an iteration
    probes:      the launch's bandwidth probes of one device, by "before" and "after"; None where one failed
    devices:     how many of them read at the same time
    """
    if not decode_tps:
        return None
    taken = [probe for probe in probes.values() if probe]
    caches = [probe["last_level_cache"] for probe in taken if probe["last_level_cache"]]
    return Traffic(
        step_bytes=reads.total,
        steps_per_s=median(decode_tps) / batch,
        bandwidth=tuple(devices * probe["best_gbs"] * 1e9 for probe in taken),
        cache_bytes=max(caches, default=None),
    )


def prefill_flops(weights: ParameterCounts, config: dict[str, Any], batch: int, prompt_tokens: int) -> float:
    """Floating-point operations of one prefill of `batch` prompts of n tokens.

        batch * (2 * linear weights * n + 4 * layers * heads * head size * n (n + 1) / 2 + 2 * head weights)

    Kaplan et al. 2020, table 1, with causal attention: half of the pairs of tokens. Only the last position's logits
    are needed, so the head counts once a row.
    """
    layers, heads = config.get("num_hidden_layers") or 0, config.get("num_attention_heads") or 0
    attention = 4 * layers * heads * (dimensions.head_size(config) or 0) * prompt_tokens * (prompt_tokens + 1) / 2
    head = 2 * (weights.head or weights.embedding)
    return batch * (2 * weights.linear * prompt_tokens + attention + head)
