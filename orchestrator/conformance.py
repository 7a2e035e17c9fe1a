"""`./benchmark.sh check ENGINE`: does a folder keep the contract? Through real builds, conversions and launches."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator import host, launches, plan, prompts
from orchestrator.artefacts import Artefacts
from orchestrator.devices import Device
from orchestrator.engines import Engine, Variant
from orchestrator.errors import CellError
from orchestrator.evidence import Context
from orchestrator.models import Model, manifest
from orchestrator.paths import CACHE
from orchestrator.progress import Progress
from orchestrator.sandbox import Sandbox, Task, thread_environment
from orchestrator.weights import Weights

PROMPT_TOKENS, NEW_TOKENS = 32, 16
EOS_STEP = 4  # the token emitted at this step is declared to be the end of the sequence
WALL_S = 1800
NORMALISED = 1e-2  # |log of the sum of probabilities|
GREEDY = {"float32": 1e-3}  # how far below the maximum a generated token's log-probability may lie
GREEDY_OTHER = 0.7  # batch-size dependent kernels of 16-bit and quantised weights flip near ties


@dataclass(frozen=True)
class Finding:
    """One check. `passed` is None where it does not apply."""

    check: str
    passed: bool | None
    detail: str = ""


def examine(
    engine: Engine, device: Device, sandbox: Sandbox, model: Model, variants: str, progress: Progress
) -> list[Finding]:
    """All checks of one engine's folder on one device with one model."""
    findings = check_folder(engine, device.kind)
    entry = engine.devices.get(device.kind)
    if entry is None or not entry.support.runs:
        why = entry.support.note if entry else "no entry"
        return [*findings, Finding(f"runs on {device.kind}", None, f"unsupported: {why}")]
    try:
        prepared = sandbox.prepare(engine, device.kind)
    except CellError as error:
        return [*findings, Finding("builds", False, error.reason)]
    findings.append(Finding("builds", True, prepared.tag))
    bench = _Bench(engine, device, sandbox, model, prepared, progress)
    eos_checked = False
    for variant in plan.variants(engine, None, variants):
        shape = plan.Shape(2 if engine.capabilities["batch"] else 1, PROMPT_TOKENS, NEW_TOKENS)
        lacking = plan.unsupported(plan.Cell(engine, variant, shape), device.kind, model.config)
        if lacking:
            findings.append(Finding(variant.name, None, f"{lacking.state}: {lacking.note}"))
            continue
        progress.say(f"checking {engine.name} {variant.name}")
        try:
            findings += bench.check(variant, shape, with_eos=not eos_checked)
            eos_checked = True
        except CellError as error:
            findings.append(Finding(f"{variant.name}: runs", False, f"{error.outcome}: {error.reason}"))
    return findings


def render(engine: Engine, findings: list[Finding]) -> str:
    """One line a check."""
    signs = {True: "pass", False: "FAIL", None: "n/a "}
    lines = [
        f"{signs[finding.passed]}  {finding.check}" + (f": {finding.detail}" if finding.detail else "")
        for finding in findings
    ]
    failed = sum(finding.passed is False for finding in findings)
    return "\n".join(
        [f"{engine.title}:", *lines, f"{failed} of {len(findings)} checks failed" if failed else "all checks passed"]
    )


def check_folder(engine: Engine, kind: str) -> list[Finding]:
    """What can be seen without running anything."""
    folder = engine.folder
    needed = ["Dockerfile", "bench.py", "README.md"]
    if any(variant.artefact for variant in engine.variants.values()):
        needed.append("convert.py")
    if kind in engine.devices and engine.devices[kind].support.runs:
        needed.append(f"requirements/{kind}.txt")
    missing = [name for name in needed if not (folder / name).is_file()]
    findings = [Finding("files", not missing, f"missing: {', '.join(missing)}" if missing else "")]
    dockerfile = (folder / "Dockerfile").read_text(encoding="utf-8") if (folder / "Dockerfile").is_file() else ""
    buildkit = re.findall(r"^#\s*syntax=.*|--mount=\S+|<<-?\s*['\"]?[A-Z]+", dockerfile, re.MULTILINE)
    findings.append(Finding("Dockerfile needs no BuildKit", not buildkit, ", ".join(buildkit)))
    users = re.findall(r"^USER\s+(\S+)", dockerfile, re.MULTILINE)
    findings.append(
        Finding(
            "Dockerfile ends as a user that is not root", bool(users) and users[-1].split(":")[0] not in ("0", "root")
        )
    )
    findings.append(Finding("Dockerfile ends in a smoke import", "--smoke" in dockerfile))
    loose = [
        f"{path.name}: {line}"
        for path in sorted((folder / "requirements").glob("*.txt"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.lstrip().startswith(("#", "-")) and "==" not in line and " @ " not in line
    ]
    findings.append(Finding("every requirement is pinned", not loose, "; ".join(loose)))
    return findings


class _Bench:
    """Launches of one engine for the checks."""

    def __init__(
        self, engine: Engine, device: Device, sandbox: Sandbox, model: Model, prepared: Any, progress: Progress
    ):
        self._engine, self._device, self._sandbox, self._model = engine, device, sandbox, model
        self._prepared, self._threads = prepared, host.default_threads()
        self._artefacts = Artefacts(sandbox, progress, host.cpu_features_digest(), self._threads)
        self._weights = Weights.of(model.path)

    def check(self, variant: Variant, shape: plan.Shape, with_eos: bool) -> list[Finding]:
        """Runs, repeats itself, does not mix up its batch, gives normalised log-probabilities, ignores EOS."""
        first, second = prompts.make(self._model, 2, 1, PROMPT_TOKENS)
        rows = [[first[0], second[0]][: shape.batch_size], [first[0], second[0]][: shape.batch_size]]
        swapped = [second[0], first[0]][: shape.batch_size]
        result, ids = self._launch(variant, shape, [*rows, swapped])
        findings = [Finding(f"{variant.name}: runs, and loads what its label says", True, _loaded(result))]
        again = ids[0] == ids[1]
        findings.append(Finding(f"{variant.name}: the same prompt gives the same tokens", again))
        own = [step[0] for step in ids[0]]
        other = [step[0] for step in ids[2]]
        findings.append(Finding(f"{variant.name}: another prompt gives other tokens", own != other))
        streams = result["streams"] == self._engine.capabilities["streams"]
        findings.append(Finding(f"{variant.name}: streams as engine.yaml says", streams))
        findings.append(self._scores(variant, first[0], own))
        if with_eos:
            findings.append(self._eos(variant, shape, rows[0], ids[0]))
        return findings

    def _scores(self, variant: Variant, prompt: list[int], generated: list[int]) -> Finding:
        name = f"{variant.name}: log-probabilities agree with the generated tokens"
        sequence = prompt + generated
        with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
            result, _ = self._launch(
                variant, plan.Shape(1, PROMPT_TOKENS, NEW_TOKENS), [[prompt]] * 3, [sequence], Path(folder)
            )
            if result["scores"][0] is None:
                return Finding(name, False if self._engine.capabilities["logprobs"] else None, "the engine gives none")
            values = np.load(Path(folder) / "out" / result["scores"][0]["file"])
        worst = float(np.abs(np.logaddexp.reduce(values, axis=1)).max())
        if worst > NORMALISED:
            return Finding(name, False, f"a row's probabilities sum to exp({worst:.3g}), not to 1")
        rows = values[len(prompt) - 1 :]
        gap = float((rows.max(axis=1) - rows[np.arange(len(generated)), generated]).max())
        allowed = GREEDY.get(variant.precision, GREEDY_OTHER)
        return Finding(name, gap <= allowed, f"largest gap to the best token {gap:.2g}, allowed {allowed}")

    def _eos(self, variant: Variant, shape: plan.Shape, rows: list[list[int]], expected: list[list[int]]) -> Finding:
        """The token that is emitted at EOS_STEP is declared the end of the sequence: nothing may change."""
        with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
            ending = with_eos(self._model, expected[EOS_STEP][0], Path(folder) / "model")
            _, ids = self._launch(variant, shape, [rows] * 3, model=ending)
        good = ids[0] == expected
        return Finding(
            "end-of-sequence neither stops nor is masked",
            good,
            "" if good else "declaring an emitted token as EOS changed the output",
        )

    def _launch(self, variant, shape, batches, score=None, directory: Path | None = None, model: Model | None = None):
        """(result.json, ids per iteration). Raises CellError unless the launch is ok."""
        model = model or self._model
        kind = self._device.kind
        facts = {
            "name": model.name, "digest": model.digest, "synthetic": model.synthetic,
            "vocab_size": model.config["vocab_size"], "parameters": self._weights.parameters,
        }  # fmt: skip
        artefact = self._artefacts.ensure(self._engine, kind, variant, model, self._prepared, facts)
        device = {"kind": kind, "ids": list(self._device.ids), "name": self._device.name}
        cell = plan.Cell(self._engine, variant, shape)
        job = launches.job(cell, device, facts, batches, len(batches), self._threads)
        job.update(warmup={"min": 0, "max": 0, "span": 0.05}, score=score or [])
        with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
            directory = directory or Path(folder)
            (directory / "out").mkdir()
            task = Task(
                engine=self._engine.name, module=f"{self._engine.folder.name}.bench", job=job, directory=directory,
                out=directory / "out", model=model.path, artefact=artefact, wall_s=WALL_S,
                environment=thread_environment(self._threads),
            )  # fmt: skip
            context = Context(self._weights, model.config)
            verdict = launches.judge(self._sandbox.run(self._prepared, task), directory, job, context)
            if verdict.outcome != "ok":
                raise CellError(verdict.outcome, verdict.reason or "")
            lines = (directory / "out" / "samples.jsonl").read_text(encoding="utf-8").splitlines()
        return verdict.result, [json.loads(line)["ids"] for line in lines]


def with_eos(model: Model, token: int, folder: Path) -> Model:
    """A copy of `model` in `folder` whose end-of-sequence token is `token`."""
    folder.mkdir()
    for path in model.path.iterdir():
        if path.is_file():
            try:
                os.link(path.resolve(), folder / path.name)
            except OSError:
                shutil.copyfile(path, folder / path.name)
    for name in ("config.json", "generation_config.json"):
        if (folder / name).is_file():
            content = {**json.loads((folder / name).read_text(encoding="utf-8")), "eos_token_id": token}
            (folder / name).unlink()  # it is a link to the original
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    changed = {**model.manifest, "config.json": f"eos {token}"}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return replace(model, path=folder, digest=manifest.digest(changed), config=config)


def _loaded(result: dict[str, Any]) -> str:
    loaded = result["loaded"]
    held = loaded["quantization"] or loaded["dtype"]
    return f"{held}, {loaded['weight_bytes'] / 2**20:.1f} MiB, threads {loaded['threads']}, {loaded['version']}"


def _scratch() -> Path:
    """Inside the cache, since a container may not see the host's /tmp."""
    folder = CACHE / "check"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
