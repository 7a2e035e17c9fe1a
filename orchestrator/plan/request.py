"""The user's request: options of the command line, and what they mean on this machine."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.base.errors import UserError, unknown
from orchestrator.machine import host
from orchestrator.machine.detect import Device
from orchestrator.machine.devices import choose_device
from orchestrator.models.ready.entry import Entry, load_entry
from orchestrator.plan.cells import Contender, Shape, select_contenders
from orchestrator.plan.engine import Engine, ready_schemes, select_engines
from orchestrator.plan.profiles import HANG_S, PROFILES, Profile

Say = Callable[[str], None]
ARTEFACTS = ("convert", "ready")


@dataclass(frozen=True)
class Options:
    """The options of `run` as given on the command line; None where the default depends on other options."""

    engine_names: str | None
    device: str
    gpus: str | None
    model: str
    artefacts: str
    precisions: str | None
    variants: str | None
    profile: str
    prompt: str | None
    prompt_tokens: int
    new_tokens: int
    batch_sizes: tuple[int, ...]
    launches: int | None
    repetitions: int | None
    threads: int | None
    seed: int | None
    timeout: float  # seconds
    hang_timeout: float  # seconds
    memory_limit: int | None  # bytes
    with_quality: bool


@dataclass(frozen=True)
class Request:
    """What is to be measured, before the model is resolved; every field is recorded in the journal."""

    device: Device
    model: str
    profile: Profile
    contenders: tuple[Contender, ...]
    shapes: tuple[Shape, ...]
    launches: int
    repetitions: int
    threads: int
    seed: int
    prompt: str | None
    wall_s: float
    with_quality: bool
    precisions: str | None = None  # the columns that the contenders were selected from; None: all
    entry: Entry | None = None  # of the model, if ready-made checkpoints are requested
    hang_s: float = HANG_S
    memory_limit: int | None = None  # bytes; None: the sandbox's default
    title: str = ""  # of the model, for the name of the results directory


def make_request(options: Options, engines: dict[str, Engine], say: Say) -> Request:
    """The request that `options` describe. `say` gets one line for each choice that was made for the user.

    Raises UserError for invalid options. Nothing is fetched and nothing is written.
    """
    selected = select_engines(options.engine_names, engines)
    if options.profile not in PROFILES:
        raise unknown("profile", options.profile, PROFILES)
    profile = PROFILES[options.profile]
    precisions = options.precisions
    if precisions is None and options.variants is None:
        precisions = profile.precisions
    entry = read_entry(options.model, options.artefacts, engines, say)
    is_ready_made = options.artefacts == "ready"
    return Request(
        contenders=tuple(
            select_contenders(selected, precisions, options.variants, entry.ready if is_ready_made else {})
        ),
        device=choose_device(options.device, options.gpus, say),
        model=entry.model,
        profile=profile,
        shapes=tuple(Shape(batch, options.prompt_tokens, options.new_tokens) for batch in options.batch_sizes),
        launches=options.launches or profile.launches,
        repetitions=options.repetitions or profile.repetitions,
        threads=options.threads or host.default_threads(),
        seed=new_seed() if options.seed is None else options.seed,
        prompt=options.prompt,
        wall_s=options.timeout,
        with_quality=options.with_quality and not all(engine.test_only for engine in selected),
        precisions=precisions,
        entry=entry if is_ready_made else None,
        hang_s=options.hang_timeout,
        memory_limit=options.memory_limit,
        title=entry.file.stem if entry.file else entry.model,
    )


def read_entry(model: str, artefacts: str, engines: dict[str, Engine], say: Say) -> Entry:
    """The entry that --model names: a model, or a file that names one and its ready-made checkpoints."""
    if artefacts not in ARTEFACTS:
        raise unknown("kind of artefacts", artefacts, ARTEFACTS)
    entry = load_entry(model, ready_schemes(engines.values()))
    if not entry.model.strip():
        raise UserError("--model is empty: give tiny, synthetic:<shape>, a directory, or ORG/NAME@REV")
    if artefacts == "ready" and not entry.ready:
        raise UserError(
            "--artefacts ready: --model must be an entry FILE.yaml that names checkpoints under `ready:`, see "
            "docs/extend/ready_made.md"
        )
    if artefacts == "convert" and entry.ready:
        say(f"{entry.file}: its ready-made checkpoints are not used without --artefacts ready")
    return entry


def new_seed() -> int:
    """A seed for the order of launches, to be recorded."""
    return random.SystemRandom().randrange(2**31)
