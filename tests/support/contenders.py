"""Engines, variants and cells of which only what a test names differs from the rest."""

from pathlib import Path

from orchestrator.plan.cells import Cell, Shape
from orchestrator.plan.engine import DeviceEntry, Engine, Support, Variant

SUPPORTED = Support("supported")


def variant(name="float32", **changes) -> Variant:
    return Variant(**{"name": name, "precision": "float32", "scheme": name, "settings": {}, "artefact": None,
                      "row_multiple": None, "default": True, "devices": {"cpu": SUPPORTED}, **changes})  # fmt: skip


def engine(name="alpha", variants=None, **changes) -> Engine:
    made = variants or [variant()]
    fields = {
        "folder": Path(f"bench_{name}"), "name": name, "title": name.title(), "version": "1.0",
        "homepage": "https://example.org", "licence": "MIT", "test_only": False,
        "capabilities": {"streams": True, "logprobs": True, "batch": True, "ragged": True},
        "devices": {"cpu": DeviceEntry(SUPPORTED, "debian:bookworm-slim")},
        "variants": {each.name: each for each in made},
    }  # fmt: skip
    return Engine(**{**fields, **changes})


def cell(name="alpha", shape=(1, 4, 3), **changes) -> Cell:
    made = variant(**changes)
    return Cell(engine(name, [made]), made, Shape(*shape))
