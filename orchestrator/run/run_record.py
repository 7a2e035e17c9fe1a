"""What the journal says of a run: device, engines, model, environment."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict
from typing import Any

from orchestrator.machine import host
from orchestrator.plan.cells import Cell
from orchestrator.plan.request import Request
from orchestrator.results import journal


def described(request: Request, cells: list[Cell], isolation: str) -> dict[str, Any]:
    """The journal's record of a request: what was asked for, on which machine, with which command."""
    return {
        "schema": journal.SCHEMA,
        "time": journal.now(),
        "command": sys.argv[1:],
        "model": request.model,
        "artefacts": "ready" if request.entry else "convert",
        "entry": str(request.entry.file) if request.entry else None,
        "device": {"kind": request.device.kind, "name": request.device.name, "ids": request.device.ids,
                   "key": request.device.key, "detail": request.device.detail},
        "isolation": isolation,
        "profile": request.profile.name,
        "is_measurement": request.profile.is_measurement,
        "launches": request.launches,
        "repetitions": request.repetitions,
        "threads": request.threads,
        "prompt": request.prompt,
        "wall_s": request.wall_s,
        "memory_limit": request.memory_limit,
        "with_quality": request.with_quality,
        "seed": request.seed,
        "hostname": platform.node(),
        "host": host.facts(),
        "cells": [
            {
                "label": cell.label, "engine": cell.engine.name, "title": cell.engine.title,
                "declared_version": cell.engine.version_on(request.device.kind), "variant": cell.variant.name,
                "precision": cell.variant.precision, "scheme": cell.variant.scheme,
                "settings": cell.variant.settings, **asdict(cell.shape), **_caveat(cell, request.device.kind),
            }
            for cell in cells
        ],
    }  # fmt: skip


def _caveat(cell: Cell, kind: str) -> dict[str, Any]:
    support, entry = cell.engine.support(cell.variant, kind), cell.engine.devices.get(kind)
    return {
        "caveat": support.note if support.state == "caveat" else None,
        "link": support.link,
        "verified": entry.verified if entry else True,
    }
