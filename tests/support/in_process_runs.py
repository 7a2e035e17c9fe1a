"""Whole runs in this process: a workbench without a device lock, and a plan of made-up contenders."""

from orchestrator.machine.detect import Device
from orchestrator.plan import profiles
from orchestrator.plan.cells import cells_of
from orchestrator.plan.request import Request
from orchestrator.plan.run_plan import Plan, Subject
from orchestrator.run.session import Workbench

CPU = Device("cpu", "Example", ("cpu",), None, {})
THREADS = 2


def workbench(workspace, sandbox, engines, progress, device=CPU) -> Workbench:
    return Workbench(workspace, device, sandbox, {engine.name: engine for engine in engines}, THREADS, progress)


def plan(model, engines, shapes, ready_made=None, device=CPU, profile="quick", **changes) -> Plan:
    """Every variant that `engines` have by default, with every shape; `changes` are fields of the request."""
    contenders = tuple(
        (engine, variant) for engine in engines for variant in engine.variants.values() if variant.default
    )
    request = Request(**{
        "device": device, "model": str(model.path), "profile": profiles.PROFILES[profile], "contenders": contenders,
        "shapes": tuple(shapes), "launches": 1, "repetitions": 2, "threads": THREADS, "seed": 1, "prompt": None,
        "wall_s": 60, "with_quality": True, **changes,
    })  # fmt: skip
    return Plan(request, tuple(cells_of(contenders, shapes)), Subject.of(model), ready_made)
