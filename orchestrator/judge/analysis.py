"""What the host works out about a launch while everything it needs is at hand: kept as evidence.json beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.base.files import write_json
from orchestrator.judge import quality
from orchestrator.judge.gates import agreement, physics, precision, prefix
from orchestrator.judge.gates.tokens import token_audit
from orchestrator.judge.quality import BadLogprobs
from orchestrator.judge.samples import first_rows
from orchestrator.judge.traffic import prefill_flops, step_reads, step_traffic
from orchestrator.machine.monitor import energy
from orchestrator.models import dimensions
from orchestrator.models.dimensions import ParameterCounts

if TYPE_CHECKING:
    from orchestrator.judge.reference import Reference


FILE = "evidence.json"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Yardstick:
    """What a launch is judged with.

    weights:      numbers of weights of the model
    config:       its config.json
    artefact:     the folder that was loaded; None where the engine's own word has to do
    reference:    what the reference engine computed, or why there is nothing
    calibration:  the verdict of gate self_calibration, which is one for the whole run
    """

    weights: ParameterCounts
    config: dict[str, Any]
    artefact: Path | None = None
    reference: Reference | str = "no reference was computed"
    calibration: str = "not checked: the suite's own delays were not measured in this run"


def analyse(
    directory: Path,
    job: dict[str, Any],
    result: dict[str, Any],
    samples: list[dict[str, Any]],
    metrics: dict[str, Any],
    context: Yardstick,
    machine: dict[str, Any] | None,
) -> dict[str, Any]:
    """Work out and write evidence.json, and return it; the log-probabilities are deleted once they are compared.

    result, samples:  of a launch whose tokens are complete, read and checked
    metrics:          of speed.launch_metrics
    machine:          the monitor's record, None where it did not watch

    Bytes are bytes, *_mib 2^20 of them, bandwidth 10^9 bytes/s of all devices, energy joules a token. Null is what is
    unknown; "gates" has a verdict for each gate. Raises OSError where the file cannot be written.
    """
    shape, loaded = job["shape"], result["loaded"]
    prompt_tokens = len(job["prompts"][0][0])
    reads = step_reads(loaded, context.weights, context.config, job, context.artefact)
    probes, devices = result.get("bandwidth") or {}, len(job["device"]["ids"])
    moved = step_traffic(reads, metrics["decode_tps"], shape["batch_size"], probes, devices)
    needed = dimensions.needed(
        context.config, loaded["kv_dtype"], shape["batch_size"], prompt_tokens, shape["new_tokens"]
    )
    found = {
        "reads": {"weight_bytes": reads.weights, "kv_bytes": reads.kv, "source": reads.source},
        "kv_needed_mib": None if needed is None else needed / MIB,
        "bandwidth_gbs": {when: probe and devices * probe["best_gbs"] for when, probe in probes.items()},
        "cache_resident": moved.cache_resident if moved else None,
        "mbu": moved.mbu if moved else None,
        "prefill_flops": prefill_flops(context.weights, context.config, shape["batch_size"], prompt_tokens),
        **_compared(directory, job, result, samples, context),
        **_powered(machine, samples, shape["batch_size"]),
    }
    found["gates"] = {
        "precision": precision.precision_proof(job["precision"], loaded, context.weights),
        "tokens": token_audit(samples, shape["batch_size"], shape["new_tokens"]),
        "physics": physics.physics(moved),
        "agreement": _agreement(job, samples, context, found),
        "cold_prefix": prefix.cold_prefix(samples),
        "self_calibration": context.calibration,
    }
    write_json(directory / FILE, found)
    return found


def _powered(machine: dict[str, Any] | None, samples: list[dict[str, Any]], batch: int) -> dict[str, Any]:
    """Energy of the measured iterations, peak device memory, and the flags of the machine's record."""
    if machine is None:
        return {"energy_validity": "unreadable: the machine was not watched"}
    spans = [
        (sample["start_ns"], sample["start_ns"] + sample["steps_ns"][-1], batch * len(sample["ids"]))
        for sample in samples
        if sample["phase"] == "measure" and "start_ns" in sample
    ]
    found = energy.per_token(machine, spans)
    return {
        "energy_j_per_token": found["energy_j_per_token"],
        "energy_idle_subtracted_j_per_token": found["energy_idle_subtracted_j_per_token"],
        "energy_source": found["source"],
        "energy_validity": found["validity"],
        "peak_device_mib": machine["peak_device_mib"],
        "peak_device_source": machine["peak_device_source"],
        "flags": machine["flags"],
    }


def _compared(
    directory: Path, job: dict[str, Any], result: dict[str, Any], samples: list[dict[str, Any]], context: Yardstick
) -> dict[str, Any]:
    """Quality and greedy agreement with the reference, and the answers, where the launch was asked for them."""
    found: dict[str, Any] = {"quality": None, "quality_reason": None, "greedy_match": None, "answers": None}
    reference = context.reference
    if isinstance(reference, str):
        found["quality_reason"] = reference
    else:
        expected = reference.generated[: len(samples)]
        generated = first_rows(samples, len(expected))
        if all(len(own) == len(other) for own, other in zip(generated, expected, strict=True)):
            found["greedy_match"] = quality.greedy_match(expected, generated)
        found["answers"] = reference.exam.texts(result.get("answers"))
        if job.get("score"):
            try:
                found["quality"] = _quality(directory / "out", result, reference)
            except BadLogprobs as error:
                found["quality_reason"] = str(error)
            for path in (directory / "out").glob("logprobs-*.npy"):
                path.unlink()  # half a gigabyte a variant for a vocabulary of 32000
    return found


def _quality(out: Path, result: dict[str, Any], reference: Reference) -> dict[str, Any]:
    """Raises quality.BadLogprobs, also where the engine gives no log-probabilities."""
    scores = result.get("scores") or []
    if not scores or scores[0] is None:
        raise BadLogprobs("this engine gives no log-probabilities; greedy agreement stands in")
    sequences = reference.exam.sequences[: len(scores)]
    own = [
        quality.read_logprobs(out / f"logprobs-{number}.npy", len(tokens) - 1, reference.vocabulary)
        for number, tokens in enumerate(sequences)
    ]
    return quality.compare([reference.logprobs(k) for k in range(len(own))], own, sequences, reference.exam.is_text)


def _agreement(job: dict[str, Any], samples: list[dict[str, Any]], context: Yardstick, found: dict[str, Any]) -> str:
    if isinstance(context.reference, str):
        return f"not checked: {context.reference}"
    if found["greedy_match"] is None:
        return "not checked: the reference generated another number of tokens"
    expected = context.reference.generated[: len(samples)]
    generated = first_rows(samples, len(expected))
    return agreement.agreement(job["precision"], expected, generated, context.reference.gap, found["quality"])
