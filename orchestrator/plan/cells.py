"""Cells: engine x variant x shape, and the order of their launches."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from common.contract import Shape as Shape  # noqa: PLC0414 - used together with Cell
from orchestrator.base.errors import UserError, unknown
from orchestrator.plan.engine import PRECISIONS, Engine, Variant


@dataclass(frozen=True)
class Cell:
    """One row of the tables: engine x variant x shape."""

    engine: Engine
    variant: Variant
    shape: Shape

    @property
    def label(self) -> str:
        """Name of the cell in file names and progress: "pytorch-float32-b1-p128-n128"."""
        size = f"b{self.shape.batch_size}-p{self.shape.prompt_tokens}-n{self.shape.new_tokens}"
        return f"{self.engine.name}-{self.variant.name}-{size}"


Contender = tuple[Engine, Variant]


def variants(engine: Engine, precisions: str | None, names: str | None, offered: Collection[str] = ()) -> list[Variant]:
    """The engine's variants that the request selects, possibly none.

    `precisions` ("all" or a list) selects columns, `names` ("default", "all" or a list) variants in them. "default",
    also without `names`, are the default variants and those that load a ready-made checkpoint of a scheme in `offered`.
    """
    columns = split("all" if precisions is None else precisions)
    wanted = split("default" if names is None else names)
    return [
        variant
        for variant in engine.variants.values()
        if ("all" in columns or variant.precision in columns)
        and (
            "all" in wanted
            or variant.name in wanted
            or ("default" in wanted and (variant.default or any(scheme in offered for scheme in variant.ready)))
        )
    ]


def check_names(engines: Sequence[Engine], precisions: str | None, names: str | None) -> None:
    """Raise UserError for a precision or variant that no engine has."""
    if precisions is not None:
        for precision in split(precisions):
            if precision != "all" and precision not in PRECISIONS:
                raise unknown("precision", precision, ["all", *PRECISIONS])
    if names is not None:
        valid = ["all", "default", *sorted({name for engine in engines for name in engine.variants})]
        for name in split(names):
            if name not in valid:
                raise unknown("variant", name, valid)


def select_contenders(
    engines: Sequence[Engine], precisions: str | None, names: str | None, offered: Collection[str] = ()
) -> list[Contender]:
    """The engines' variants that a request selects; see `variants`.

    Raises UserError for unknown names, and if no variant is selected.
    """
    check_names(engines, precisions, names)
    contenders = [(engine, variant) for engine in engines for variant in variants(engine, precisions, names, offered)]
    if not contenders:
        raise UserError(
            f"no variant of {', '.join(engine.name for engine in engines)} matches "
            f"--precisions {precisions or 'all'} --variants {names or 'default'}; "
            "`./benchmark.sh list` shows what there is"
        )
    return contenders


def cells_of(contenders: Sequence[Contender], shapes: Sequence[Shape]) -> list[Cell]:
    """Every contender with every shape."""
    return [Cell(engine, variant, shape) for engine, variant in contenders for shape in shapes]


def order(planned: Sequence[Cell], launches: int, seed: int) -> list[tuple[int, Cell]]:
    """(block, cell) in launch order: every cell once per block, each block shuffled from the recorded seed.

    Drift of the machine then affects every contender alike; running engine after engine would favour the first.
    """
    sequence = []
    for block in range(launches):
        shuffled = list(planned)
        random.Random(f"{seed}/{block}").shuffle(shuffled)
        sequence += [(block, cell) for cell in shuffled]
    return sequence


def split(text: str) -> list[str]:
    """ "a, b" -> ["a", "b"]."""
    return [part.strip() for part in text.split(",") if part.strip()]
