"""`check ENGINE --architectures`: which model architectures an engine runs, and whether it runs them correctly."""

from __future__ import annotations

from orchestrator.answers.check.finding import Finding
from orchestrator.answers.check.launching import (
    LENGTHS,
    NEW_TOKENS,
    QUANTISED_KL,
    Launching,
    Trial,
    prompts_for,
    reference_for,
)
from orchestrator.base.errors import CellError
from orchestrator.base.escape import first_line
from orchestrator.models.synthetic import shapes
from orchestrator.plan.cells import Cell, Shape
from orchestrator.plan.engine import PRECISIONS, WRONG, Engine, Variant
from orchestrator.plan.run_plan import find_subject, lacking_on
from orchestrator.run.session import Workbench


def examine_architectures(engine: Engine, bench: Workbench) -> list[Finding]:
    """One finding per architecture, from the engine's most precise variant: `yes`, `wrong`, `unsupported`, or the
    outcome of its launch."""
    variant = most_precise(engine, bench.device.kind)
    if variant is None:
        return [Finding("architectures", None, f"unsupported: no variant runs on {bench.device.kind}")]
    try:
        image = bench.sandbox.prepare(engine, bench.device.kind)
    except CellError as error:
        return [Finding("builds", False, error.reason)]
    findings = []
    for name in shapes.architectures():
        bench.progress.say(f"checking {engine.name} {variant.name} with {name}")
        subject = find_subject(f"synthetic:{name}", bench.workspace.cache, bench.progress.say)
        label = f"{name.removeprefix('arch-')} ({variant.name})"
        findings.append(_examine(Launching(bench, subject, engine, image), variant, label))
    return findings


def most_precise(engine: Engine, kind: str) -> Variant | None:
    """The engine's first variant of the highest precision that runs, a default one if possible."""
    running = [variant for variant in engine.variants.values() if engine.support(variant, kind).runs]
    rank = lambda variant: (PRECISIONS.index(variant.precision), not variant.default)  # noqa: E731
    return min(running, key=rank, default=None)


def _examine(launching: Launching, variant: Variant, label: str) -> Finding:
    bench, engine, model = launching.bench, launching.engine, launching.subject.model
    reference = reference_for(bench, launching.subject)
    cell = Cell(engine, variant, Shape(1, max(LENGTHS), NEW_TOKENS))
    lacking = lacking_on(bench.device, cell, model)
    if lacking and lacking.state != WRONG:  # a variant declared wrong is examined nevertheless
        return Finding(label, None, f"{lacking.state}: {lacking.note}")
    if isinstance(reference, str):
        return Finding(label, None, f"not checked: {reference}")
    more = {"score": reference.exam.sequences} if engine.capabilities["logprobs"] else {}
    trial = Trial(variant, [[prompt] for prompt in prompts_for(model)], more)
    try:
        output = launching.launch(trial, reference)
    except CellError as error:
        if error.outcome == "unsupported":
            return Finding(label, None, f"unsupported: {first_line(error.reason)}")
        wrong = error.reason.startswith("gate agreement")
        return Finding(label, False, f"{'wrong' if wrong else error.outcome}: {first_line(error.reason)}")
    limit, quality = QUANTISED_KL.get(variant.precision), output.evidence["quality"]
    if limit is not None and quality and quality["kl"] > limit:
        return Finding(label, False, f"wrong: KL {quality['kl']:.2g} nats, allowed {limit}")
    compared = f"KL {quality['kl']:.2g} nats" if quality else f"{output.evidence['greedy_match']:.0%} of tokens equal"
    return Finding(label, True, f"yes: {compared}")
