"""`check ENGINE --architectures`: which model architectures an engine runs, and whether it runs them right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.answers.check.finding import Finding
from orchestrator.answers.check.launching import LENGTHS, NEW_TOKENS, QUANTISED_KL, Launching, prompts_for
from orchestrator.base.errors import CellError
from orchestrator.base.escape import first_line
from orchestrator.base.progress import Progress
from orchestrator.judge.reference import Reference
from orchestrator.machine.detect import Device
from orchestrator.models.resolve import resolve
from orchestrator.models.synthetic import shapes
from orchestrator.plan import support
from orchestrator.plan.cells import Cell, Shape
from orchestrator.plan.engine import PRECISIONS, WRONG, Engine, Variant
from orchestrator.sandbox.task import Sandbox


def examine_architectures(
    engine: Engine, device: Device, sandbox: Sandbox, cache: Path, progress: Progress, engines: dict[str, Engine]
) -> list[Finding]:
    """One finding per architecture, from the engine's most precise variant there: `yes`, `wrong`, `unsupported`, or
    the word with which its launch ended."""
    variant = most_precise(engine, device.kind)
    if variant is None:
        return [Finding("architectures", None, f"unsupported: no variant runs on {device.kind}")]
    try:
        prepared = sandbox.prepare(engine, device.kind)
    except CellError as error:
        return [Finding("builds", False, error.reason)]
    findings = []
    for name in shapes.architectures():
        progress.say(f"checking {engine.name} {variant.name} with {name}")
        launching = Launching(device, sandbox, resolve(f"synthetic:{name}", cache, say=progress.say), progress)
        label = f"{name.removeprefix('arch-')} ({variant.name})"
        findings.append(_one(engine, variant, prepared, launching, launching.reference(engines), label))
    return findings


def most_precise(engine: Engine, kind: str) -> Variant | None:
    """The engine's first running variant of the highest precision; a default one where it has the choice."""
    running = [variant for variant in engine.variants.values() if engine.support(variant, kind).runs]
    rank = lambda variant: (PRECISIONS.index(variant.precision), not variant.default)  # noqa: E731
    return min(running, key=rank, default=None)


def _one(
    engine: Engine, variant: Variant, prepared: Any, launching: Launching, refer: Reference | str, label: str
) -> Finding:
    shape = Shape(1, max(LENGTHS), NEW_TOKENS)
    device = launching.device
    cell = Cell(engine, variant, shape)
    lacking = support.unsupported(cell, device.kind, launching.model.config, gpus=device.detail.get("gpus", ()))
    if lacking and lacking.state != WRONG:  # which is what is examined here
        return Finding(label, None, f"{lacking.state}: {lacking.note}")
    if isinstance(refer, str):
        return Finding(label, None, f"not checked: {refer}")
    more = {"score": refer.exam.sequences} if engine.capabilities["logprobs"] else {}
    rows = [[prompt] for prompt in prompts_for(launching.model)]
    try:
        made = launching.launch(engine, prepared, variant, shape, rows, more, refer)
    except CellError as error:
        if error.outcome == "unsupported":
            return Finding(label, None, f"unsupported: {first_line(error.reason)}")
        wrong = error.reason.startswith("gate agreement")
        return Finding(label, False, f"{'wrong' if wrong else error.outcome}: {first_line(error.reason)}")
    limit, quality = QUANTISED_KL.get(variant.precision), made.evidence["quality"]
    if limit is not None and quality and quality["kl"] > limit:
        return Finding(label, False, f"wrong: KL {quality['kl']:.2g} nats, allowed {limit}")
    compared = f"KL {quality['kl']:.2g} nats" if quality else f"{made.evidence['greedy_match']:.0%} of tokens equal"
    return Finding(label, True, f"yes: {compared}")
