"""`./benchmark.sh check ENGINE`: tests a folder against the contract by real builds, conversions and launches."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.contract import Result
from orchestrator.answers.check.finding import Finding
from orchestrator.answers.check.folder import check_folder
from orchestrator.answers.check.launching import (
    LENGTHS,
    NEW_TOKENS,
    QUANTISED_KL,
    Launching,
    LaunchOutput,
    Trial,
    prompts_for,
    reference_for,
    scratch,
    with_eos,
)
from orchestrator.base.errors import CellError
from orchestrator.judge.gates import agreement
from orchestrator.judge.reference import Reference
from orchestrator.plan import cells
from orchestrator.plan.cells import Cell, Shape
from orchestrator.plan.engine import Engine, Variant
from orchestrator.plan.run_plan import Subject, lacking_on
from orchestrator.run.session import Workbench

BATCH = 4
TRIES = 3  # a prefix cache fails every try; a busy neighbour may make one try of three 10 ms pairs look like a cache
EOS_STEP = 4  # the token emitted at this step is declared as end of sequence
NORMALISED = 1e-2  # |log of the sum of probabilities|
GREEDY = {"float32": 1e-3}  # how far below the maximum a generated token's log-probability may lie
GREEDY_OTHER = 0.7  # batch-size dependent kernels of 16-bit and quantised weights flip near ties


def examine(engine: Engine, variants: str, subject: Subject, bench: Workbench) -> list[Finding]:
    """All checks of one engine's folder on one device with one model; `variants` as the option of that name."""
    device, progress = bench.device, bench.progress
    findings = check_folder(engine, device.kind)
    entry = engine.devices.get(device.kind)
    if entry is None or not entry.support.runs:
        why = entry.support.note if entry else "no entry"
        return [*findings, Finding(f"runs on {device.kind}", None, f"unsupported: {why}")]
    try:
        image = bench.sandbox.prepare(engine, device.kind)
    except CellError as error:
        return [*findings, Finding("builds", False, error.reason)]
    findings.append(Finding("builds", True, image.tag))
    reference = "a test contender computes no model" if engine.test_only else reference_for(bench, subject)
    checks = _Checks(Launching(bench, subject, engine, image), reference)
    eos_checked = False
    for variant in cells.variants(engine, None, variants):
        cell = Cell(engine, variant, Shape(1, max(LENGTHS), NEW_TOKENS))
        lacking = lacking_on(device, cell, subject.model)
        if lacking:
            findings.append(Finding(variant.name, None, f"{lacking.state}: {lacking.note}"))
            continue
        progress.say(f"checking {engine.name} {variant.name}")
        try:
            findings += checks.examine(variant, with_eos=not eos_checked)
            eos_checked = True
        except CellError as error:
            findings.append(Finding(f"{variant.name}: runs", False, f"{error.outcome}: {error.reason}"))
    return findings


def render(engine: Engine, findings: list[Finding]) -> str:
    """One line per check."""
    signs = {True: "pass", False: "FAIL", None: "n/a "}
    lines = [
        f"{signs[finding.passed]}  {finding.check}" + (f": {finding.detail}" if finding.detail else "")
        for finding in findings
    ]
    failed = sum(finding.passed is False for finding in findings)
    return "\n".join(
        [f"{engine.title}:", *lines, f"{failed} of {len(findings)} checks failed" if failed else "all checks passed"]
    )


class _Checks:
    """The checks of one engine's variants."""

    def __init__(self, launching: Launching, reference: Reference | str):
        self._engine, self._launching, self._reference = launching.engine, launching, reference
        self._prompts = prompts_for(launching.subject.model)

    def examine(self, variant: Variant, with_eos: bool) -> list[Finding]:
        """All checks of one variant. Raises CellError where a launch fails."""
        alone = self._alone(variant)
        name, capabilities = variant.name, self._engine.capabilities
        distinct = {tuple(alone.row(number)) for number in range(len(self._prompts))}
        streams = alone.result.streams == capabilities["streams"]
        findings = [
            Finding(f"{name}: runs, and loads what its label says", True, _loaded(alone.result)),
            Finding(f"{name}: another prompt gives other tokens", len(distinct) > 1),
            self._agreement(variant, alone),
            Finding.of_gate(f"{name}: no cache of prefixes", alone.evidence["gates"]["cold_prefix"]),
            Finding(f"{name}: streams as engine.yaml says", streams),
            Finding(f"{name}: no process is left", not alone.processes_left, "; ".join(alone.processes_left)),
            *self._together(variant),
            self._scores(variant, alone.row(0)),
        ]
        return [*findings, self._eos(variant, alone.row(0))] if with_eos else findings

    def _alone(self, variant: Variant) -> LaunchOutput:
        """All prompts one by one, the pairs that reveal a prefix cache, and the exam."""
        more: dict[str, Any] = {"prefix_pairs": 3}
        if isinstance(self._reference, Reference) and self._engine.capabilities["logprobs"]:
            more["score"] = self._reference.exam.sequences
        fresh = [[ids[::-1]] for ids in self._prompts[:3]]  # prompts that were not run before
        trial = Trial(variant, [[prompt] for prompt in self._prompts] + fresh, more)
        for attempt in range(1, TRIES + 1):
            try:
                return self._launching.launch(trial, self._reference)
            except CellError as error:
                if attempt == TRIES or not error.reason.startswith("gate cold_prefix"):
                    raise
        raise AssertionError("unreachable")

    def _agreement(self, variant: Variant, alone: LaunchOutput) -> Finding:
        """`launch` raises where the gate fails: here it has passed, or does not apply to a quantised variant."""
        check = f"{variant.name}: {len(self._prompts)} x {NEW_TOKENS} tokens agree with the float32 reference"
        word, limit = alone.evidence["gates"]["agreement"], QUANTISED_KL.get(variant.precision)
        if isinstance(self._reference, str) or limit is None:
            return Finding.of_gate(check, word)
        check = f"{variant.name}: log-probabilities are close to the float32 reference's"
        compared = alone.evidence["quality"]
        if compared is None:
            return Finding(check, None, alone.evidence["quality_reason"] or "the engine gives none")
        return Finding(check, compared["kl"] <= limit, f"KL {compared['kl']:.2g} nats, allowed {limit}")

    def _together(self, variant: Variant) -> list[Finding]:
        """The same prompts twice, and in batches: equal lengths, in another order, ragged."""
        name, capabilities = variant.name, self._engine.capabilities
        size = BATCH if capabilities["batch"] else 1
        even, ragged = self._prompts[:size], self._prompts[BATCH : BATCH + size]
        batches = [even, even, even[::-1]]
        if size > 1 and capabilities["ragged"]:
            batches.append(ragged)
        output = self._launching.launch(Trial(variant, batches))
        findings = [Finding(f"{name}: the same prompt gives the same tokens", output.ids[0] == output.ids[1])]
        if size == 1:
            return [*findings, Finding(f"{name}: batches", None, "batch size 1 only")]
        rows = list(range(size))
        agrees = f"a batch of {size} agrees with the float32 reference"
        findings.append(self._in_batch(variant, output, 0, rows, agrees))
        findings.append(self._in_batch(variant, output, 2, rows[::-1], "rows in another order keep their own tokens"))
        if not capabilities["ragged"]:
            return [*findings, Finding(f"{name}: a batch of unequal lengths", None, "engine.yaml says ragged: false")]
        indices = [BATCH + row for row in rows]
        return [*findings, self._in_batch(variant, output, 3, indices, "a batch of unequal lengths agrees")]

    def _in_batch(
        self, variant: Variant, output: LaunchOutput, iteration: int, prompts: list[int], check: str
    ) -> Finding:
        """Row k of an iteration continues prompt number prompts[k] as the reference does."""
        check = f"{variant.name}: {check}"
        if isinstance(self._reference, str):
            return Finding(check, None, self._reference)
        reference = self._reference
        expected = [reference.generated[number] for number in prompts]
        rows = [output.row(iteration, row) for row in range(len(prompts))]
        gap = lambda row, step, token: reference.gap(prompts[row], step, token)  # noqa: E731
        return Finding.of_gate(check, agreement.agreement(variant.precision, expected, rows, gap, None))

    def _scores(self, variant: Variant, generated: list[int]) -> Finding:
        name, prompt = f"{variant.name}: log-probabilities agree with the generated tokens", self._prompts[0]
        with scratch(self._launching.bench) as folder:
            trial = Trial(variant, [[prompt]], {"score": [prompt + generated]})
            output = self._launching.launch(trial, directory=folder)
            [score] = output.result.scores or [None]
            if score is None:
                return Finding(name, False if self._engine.capabilities["logprobs"] else None, "the engine gives none")
            values = np.load(folder / "out" / score.file)
        worst = float(np.abs(np.logaddexp.reduce(values, axis=1)).max())
        if worst > NORMALISED:
            return Finding(name, False, f"a row's probabilities sum to exp({worst:.3g}), not to 1")
        rows = values[len(prompt) - 1 :]
        gap = float((rows.max(axis=1) - rows[np.arange(len(generated)), generated]).max())
        allowed = GREEDY.get(variant.precision, GREEDY_OTHER)
        return Finding(name, gap <= allowed, f"largest gap to the best token {gap:.2g}, allowed {allowed}")

    def _eos(self, variant: Variant, expected: list[int]) -> Finding:
        """Declaring the token emitted at EOS_STEP as end of sequence must not change the output."""
        with scratch(self._launching.bench) as folder:
            ending = with_eos(self._launching.subject.model, expected[EOS_STEP], folder / "model")
            output = self._launching.launch(Trial(variant, [[self._prompts[0]]], subject=ending))
        unchanged = output.row(0) == expected
        detail = "" if unchanged else "declaring an emitted token as EOS changed the output"
        return Finding("end-of-sequence neither stops nor is masked", unchanged, detail)


def _loaded(result: Result) -> str:
    loaded = result.loaded
    weights = loaded.quantization or loaded.dtype
    return f"{weights}, {loaded.weight_bytes / 2**20:.1f} MiB, threads {loaded.threads}, {loaded.version}"
