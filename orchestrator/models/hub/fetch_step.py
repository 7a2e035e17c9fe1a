"""The fetch step: the only process that talks to the hub. `python -m orchestrator.models.hub.fetch_step`

Reads one JSON object from stdin: `repo`, `revision`, `root` (folder of this repository in the cache), `backoff_s`,
`file` (null, or the GGUF file to fetch) and `answer` (the file for the outcome). Prints progress. The outcome is one of

    {"commit": "<40 digits>"}             the files are in root/.incomplete-<commit>, checked against the hub's hashes
    {"failed": "<one line>", "unreachable": true or false}
    {"refused": "<one line>"}             the repository holds nothing that may be loaded

The token is the file that HF_TOKEN_PATH names; huggingface_hub reads it from there.
"""

import hashlib
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download

from orchestrator.base.errors import UserError, unknown
from orchestrator.base.files import GIB, need_disk, write_json
from orchestrator.base.progress import SAY_EVERY_S
from orchestrator.models import checkpoint
from orchestrator.models.hub.retry import Failed, host, with_retries

WANTED = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "quantize_config.json",
    "quant_config.json",
)


def main() -> None:
    """Read a request from stdin and write the outcome to the answer file."""
    request = json.load(sys.stdin)
    try:
        outcome = {"commit": run(request)}
    except Failed as error:
        outcome = {"failed": str(error), "unreachable": error.unreachable}
    except UserError as error:
        outcome = {"refused": str(error)}
    write_json(Path(request["answer"]), outcome)


def run(request: dict) -> str:
    """Resolve the revision, download and check the files that are missing. Returns the commit."""
    repo, revision, root = request["repo"], request["revision"], Path(request["root"])

    def retried(call: Callable[[], Any]) -> Any:
        return with_retries(call, f"{repo}@{revision}", request["backoff_s"])

    info = retried(lambda: HfApi().model_info(repo, revision=revision, files_metadata=True))
    if not re.fullmatch("[0-9a-f]{40}", info.sha or ""):
        raise Failed(f"{repo}@{revision}: the hub at {host()} names no commit for it; check HF_ENDPOINT")
    if (root / info.sha).is_dir():
        return info.sha
    files = one_file(repo, info.siblings, request["file"]) if request["file"] else wanted(repo, info.siblings)
    folder = root / f".incomplete-{info.sha}"
    folder.mkdir(exist_ok=True)
    total = sum(file.size or 0 for file in files)
    need_disk(folder, total - _bytes_in(folder), repo)
    print(f"fetching {repo}@{info.sha[:12]} from {host()}: {len(files)} files, {total / GIB:.1f} GiB", flush=True)
    threading.Thread(target=_report, args=(repo, folder, total), daemon=True).start()
    # Not snapshot_download: if the hub lists no files, it returns an existing folder as if it were complete.
    for file in sorted(files, key=lambda file: (file.rfilename != "config.json", file.rfilename)):
        retried(lambda name=file.rfilename: hf_hub_download(repo, name, revision=info.sha, local_dir=folder))
        check(folder / file.rfilename, file, repo)
        if file.rfilename == "config.json":  # first, so that refusing a model costs no gigabytes
            checkpoint.read_config(folder, repo)
    return info.sha


def wanted(repo: str, siblings: list) -> list:
    """The files to fetch. Raises UserError if they include no safetensors."""
    top = [file for file in siblings if "/" not in file.rfilename]
    files = [file for file in top if any(fnmatch(file.rfilename, pattern) for pattern in WANTED)]
    if any(file.rfilename == "model.safetensors.index.json" for file in files):
        # Some repositories have the weights a second time, in their author's layout.
        files = [file for file in files if not fnmatch(file.rfilename, "consolidated*.safetensors")]
    if not any(file.rfilename == "config.json" for file in files):
        raise UserError(f"{repo} has no config.json: it is not a model that transformers could load")
    if not any(file.rfilename.endswith(".safetensors") for file in files):
        refused = [file.rfilename for file in top if file.rfilename.endswith((".bin", ".pt", ".pth", ".ckpt", ".gguf"))]
        hint = f" (it has {', '.join(refused[:3])})" if refused else ""
        raise UserError(
            f"{repo} has no *.safetensors{hint}: pickle files are not loaded; choose a repository with safetensors, or "
            "convert the weights and give the directory"
        )
    return files


def one_file(repo: str, siblings: list, name: str) -> list:
    """The file `name`, in a list. Raises UserError, the closest name first, if the repository lacks it."""
    files = [file for file in siblings if file.rfilename == name]
    if not files:
        raise unknown(
            f"file of {repo}", name, [file.rfilename for file in siblings if file.rfilename.endswith(".gguf")]
        )
    return files


def check(path: Path, file: Any, repo: str) -> None:
    """Compare a download with the hub's hash: sha256 of a large file, git blob id of a small one.

    A file that differs is deleted, so that it is neither used nor resumed; raises Failed.
    """
    if file.lfs:
        kind, expected, sha = "sha256", file.lfs.sha256, hashlib.sha256()
    elif file.blob_id and len(file.blob_id) == 40:
        kind, expected, sha = "git blob", file.blob_id, hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    else:
        return
    with path.open("rb") as handle:
        while data := handle.read(8 * 2**20):
            sha.update(data)
    if sha.hexdigest() != expected:
        path.unlink()
        raise Failed(
            f"{repo}: {path.name} arrived damaged ({kind} {sha.hexdigest()}, the hub says {expected}); it was deleted: "
            "run again to fetch it anew"
        )


def _report(repo: str, folder: Path, total: int) -> None:
    start, before = time.monotonic(), _bytes_in(folder)
    while True:
        time.sleep(SAY_EVERY_S)
        done = _bytes_in(folder)
        rate = (done - before) / (time.monotonic() - start)
        remaining = f", about {(total - done) / rate:.0f} s left" if 0 < done < total and rate > 0 else ""
        print(f"fetching {repo}: {done / GIB:.2f} of {total / GIB:.2f} GiB{remaining}", flush=True)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # renamed in between
    return total


if __name__ == "__main__":
    main()
