"""`replay`: is a published figure reproduced on this machine?"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from orchestrator import completion, original, outcomes, replay
from orchestrator.cli_options import FORMAT, share
from orchestrator.cli_results import check_directory, support_matrix
from orchestrator.errors import UserError
from orchestrator.models.store import write_json
from orchestrator.paths import RESULTS
from orchestrator.progress import Progress
from orchestrator.rerun import FILE, Rerun
from orchestrator.terminal import plain

EXIT_CODES = {
    replay.REPRODUCED: outcomes.EXIT_OK,
    replay.NOT_REPRODUCED: outcomes.EXIT_FAILED,
    replay.NOT_COMPARABLE: outcomes.EXIT_NOT_COMPARABLE,
}


@click.command("replay")
@click.argument("result", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--row", metavar="ENGINE:VARIANT", shell_complete=completion.rows,
    help="which row, where RESULT is a directory of several",
)  # fmt: skip
@click.option("--launches", type=click.IntRange(1), help="fresh containers  [default: as many as the original had]")
@click.option(
    "--tolerance", default=f"{100 * replay.TOLERANCE:g}%", show_default=True, callback=share,
    help="how far the ratio's whole interval may lie from 1",
)  # fmt: skip
@click.option(
    "--model", "-n", shell_complete=completion.model, help="where the model is now  [default: as the original names it]"
)
@click.option("--quality/--no-quality", "with_quality", default=None, help="as in run  [default: as the original]")
@click.option("--anyway", is_flag=True, help="measure also where the verdict can only be `not comparable`")
@click.option(
    "--out", type=click.Path(path_type=Path), help="results directory  [default: results/<time>-replay-<row>]"
)
@click.option("--resume", is_flag=True, help="continue in --out: launches that are measured already are kept")
@FORMAT
def replay_command(result, row, launches, tolerance, model, with_quality, anyway, out, resume, form) -> int:
    """Measure a recorded row again, and say whether its speed is reproduced.

    RESULT is out/result.json of a launch, a launch's directory, or a results directory. The same image (by its id, or
    rebuilt with the same content hash), model, artefact, job, device and thread count are taken. What differs is named
    before anything is measured. The new launches go to a results directory of their own; the original is only read.

    Exit codes: 0 reproduced, 1 not reproduced or failed, 2 usage, 5 not comparable, 75 device busy, 130 interrupted.

    \b
    ./benchmark.sh replay results/NAME/launches/llamacpp-q8_0-b1-p128-n128-1-0f3c9a1b/out/result.json
    ./benchmark.sh replay results/NAME --row llamacpp:q8_0
    ./benchmark.sh replay results/NAME --row llamacpp:q8_0 --launches 10 --tolerance 3% --format json
    """
    there = original.find(result, row)
    if resume and out is None:
        raise UserError("--resume: name the directory to continue with --out")
    directory = out or RESULTS / f"{datetime.now():%Y%m%d-%H%M%S}-replay-{there.row['engine']}-{there.row['variant']}"
    check_directory(directory, resume)
    again = Rerun(there, launches or there.row["launches"], Progress(), anyway)
    if not again.go(directory, model, with_quality, support_matrix()):
        return outcomes.EXIT_INTERRUPTED
    found = again.conclusion(tolerance)
    if directory.is_dir():
        write_json(directory / FILE, found)
    click.echo(json.dumps(found, indent=1) if form == "json" else plain(replay.render(found, there)))
    return EXIT_CODES[found["verdict"]]
