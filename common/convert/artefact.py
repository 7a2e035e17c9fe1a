"""Entry point of every convert.py. Nothing partial is ever visible under the final name."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from common.contract import ConversionJob, read_job
from common.engine import Unsupported
from common.tools.result_files import write_json_atomically

ARTEFACT = "artefact"


def main(convert: Callable[[Path, Path, ConversionJob], None]) -> None:
    """Run `convert(checkpoint_dir, out_dir, job)`, which fills `out_dir`.

    Leaves OUT/artefact/ with manifest.json ({"files": {name: sha256}}), or OUT/error.json ({"outcome", "reason"}) and
    exit code 1. An existing artefact is kept as it is.
    """
    parser = argparse.ArgumentParser(description="Convert a checkpoint for this engine.")
    parser.add_argument("--job", type=Path, default=Path("/job/job.json"))
    parser.add_argument("--out", type=Path, default=Path("/out"))
    options = parser.parse_args()
    job = read_job(options.job, ConversionJob)
    final = options.out / ARTEFACT
    if final.exists():
        print("already converted")
        return
    (options.out / "error.json").unlink(missing_ok=True)  # of an earlier attempt
    temporary = options.out / f".{ARTEFACT}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        convert(Path(job.model.path), temporary, job)
        files = {
            str(path.relative_to(temporary)): sha256(path) for path in sorted(temporary.rglob("*")) if path.is_file()
        }
        if not files:
            raise RuntimeError("the conversion wrote no file")
    except Exception as error:  # whatever an engine's converter raises becomes one outcome and a reason
        shutil.rmtree(temporary, ignore_errors=True)
        outcome = "unsupported" if isinstance(error, Unsupported) else "convert_failed"
        reason = str(error) if isinstance(error, Unsupported) else traceback.format_exc().strip()[-2000:]
        write_json_atomically(options.out / "error.json", {"outcome": outcome, "reason": reason})
        print(reason, file=sys.stderr)
        sys.exit(1)
    write_json_atomically(temporary / "manifest.json", {"files": files})
    temporary.rename(final)


def sha256(path: Path) -> str:
    """Hex digest of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()
