"""What the host computes about a launch when it ends, while all inputs are at hand; stored as evidence.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.contract import Job, Result, Sample
from orchestrator.base.files import write_json
from orchestrator.judge import quality
from orchestrator.judge.gates import agreement, physics, precision, prefix
from orchestrator.judge.gates.tokens import token_audit
from orchestrator.judge.launch_files import first_rows
from orchestrator.judge.quality import BadLogprobs
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
    """What a launch is judged against.

    weights:      numbers of weights of the model
    config:       its config.json
    artefact:     the directory that was loaded; None: weight bytes are taken from the engine's report
    reference:    results of the reference engine, or the reason why there are none
    calibration:  verdict of the gate self_calibration, shared by all launches of a run
    """

    weights: ParameterCounts
    config: dict[str, Any]
    artefact: Path | None = None
    reference: Reference | str = "no reference was computed"
    calibration: str = "not checked: the suite's own delays were not measured in this run"


def analyse(
    directory: Path,
    job: Job,
    result: Result,
    samples: list[Sample],
    metrics: dict[str, Any],
    yardstick: Yardstick,
    machine: dict[str, Any] | None,
) -> dict[str, Any]:
    """Write evidence.json and return its content; the log-probabilities are deleted once they are compared.

    result, samples:  of a launch whose tokens are complete, read and checked
    metrics:          from speed.launch_metrics
    machine:          the monitor's record, None if the launch was not monitored

    Units: bytes, MiB (*_mib), 10^9 bytes/s summed over devices (*_gbs), joules per token. Unknown values are null;
    "gates" maps each gate to its verdict. Raises OSError if the file cannot be written.
    """
    shape, loaded = job.shape, result.loaded
    prompt_tokens = len(job.prompts[0][0])
    reads = step_reads(loaded, yardstick.weights, yardstick.config, job, yardstick.artefact)
    probes, devices = result.bandwidth, len(job.device.ids)
    traffic = step_traffic(reads, metrics["decode_tps"], shape.batch_size, probes, devices)
    kv_needed = dimensions.needed(yardstick.config, loaded.kv_dtype, shape.batch_size, prompt_tokens, shape.new_tokens)
    evidence = {
        "reads": {"weight_bytes": reads.weights, "kv_bytes": reads.kv, "source": reads.source},
        "kv_needed_mib": None if kv_needed is None else kv_needed / MIB,
        "bandwidth_gbs": {when: probe and devices * probe.best_gbs for when, probe in probes.items()},
        "cache_resident": traffic.cache_resident if traffic else None,
        "mbu": traffic.mbu if traffic else None,
        "prefill_flops": prefill_flops(yardstick.weights, yardstick.config, shape.batch_size, prompt_tokens),
        **_compare_with_reference(directory, job, result, samples, yardstick),
        **_energy_and_memory(machine, samples, shape.batch_size),
    }
    evidence["gates"] = {
        "precision": precision.precision_proof(job.precision, loaded, yardstick.weights),
        "tokens": token_audit(samples, shape.batch_size, shape.new_tokens),
        "physics": physics.physics(traffic),
        "agreement": _agreement(job, samples, yardstick, evidence),
        "cold_prefix": prefix.cold_prefix(samples),
        "self_calibration": yardstick.calibration,
    }
    write_json(directory / FILE, evidence)
    return evidence


def _energy_and_memory(machine: dict[str, Any] | None, samples: list[Sample], batch: int) -> dict[str, Any]:
    """Energy of the measured iterations, peak device memory, and the flags of the monitor's record."""
    if machine is None:
        return {"energy_validity": "unreadable: the machine was not watched"}
    spans = [
        (sample.start_ns, sample.start_ns + sample.steps_ns[-1], batch * len(sample.ids))
        for sample in samples
        if sample.phase == "measure" and sample.start_ns is not None
    ]
    reading = energy.per_token(machine, spans)
    return {
        "energy_j_per_token": reading["energy_j_per_token"],
        "energy_idle_subtracted_j_per_token": reading["energy_idle_subtracted_j_per_token"],
        "energy_source": reading["source"],
        "energy_validity": reading["validity"],
        "peak_device_mib": machine["peak_device_mib"],
        "peak_device_source": machine["peak_device_source"],
        "flags": machine["flags"],
    }


def _compare_with_reference(
    directory: Path, job: Job, result: Result, samples: list[Sample], yardstick: Yardstick
) -> dict[str, Any]:
    """Greedy agreement with the reference; quality and answers too, if the job asked for them."""
    values: dict[str, Any] = {"quality": None, "quality_reason": None, "greedy_match": None, "answers": None}
    reference = yardstick.reference
    if isinstance(reference, str):
        values["quality_reason"] = reference
    else:
        expected = reference.generated[: len(samples)]
        generated = first_rows(samples, len(expected))
        if all(len(own) == len(other) for own, other in zip(generated, expected, strict=True)):
            values["greedy_match"] = quality.greedy_match(expected, generated)
        values["answers"] = reference.exam.texts(result.answers)
        if job.score:
            try:
                values["quality"] = _quality(directory / "out", result, reference)
            except BadLogprobs as error:
                values["quality_reason"] = str(error)
            for path in (directory / "out").glob("logprobs-*.npy"):
                path.unlink()  # half a gigabyte a variant for a vocabulary of 32000
    return values


def _quality(out: Path, result: Result, reference: Reference) -> dict[str, Any]:
    """See quality.compare. Raises quality.BadLogprobs, also if the engine gives no log-probabilities."""
    scores = result.scores or []
    if not scores or scores[0] is None:
        raise BadLogprobs("this engine gives no log-probabilities; greedy agreement stands in")
    sequences = reference.exam.sequences[: len(scores)]
    own = [
        quality.read_logprobs(out / f"logprobs-{number}.npy", len(tokens) - 1, reference.vocabulary)
        for number, tokens in enumerate(sequences)
    ]
    return quality.compare([reference.logprobs(k) for k in range(len(own))], own, sequences, reference.exam.is_text)


def _agreement(job: Job, samples: list[Sample], yardstick: Yardstick, evidence: dict[str, Any]) -> str:
    if isinstance(yardstick.reference, str):
        return f"not checked: {yardstick.reference}"
    if evidence["greedy_match"] is None:
        return "not checked: the reference generated another number of tokens"
    expected = yardstick.reference.generated[: len(samples)]
    generated = first_rows(samples, len(expected))
    return agreement.agreement(job.precision, expected, generated, yardstick.reference.gap, evidence["quality"])
