"""`ORG/NAME[@REV]`: a model of the hub, fetched by a separate process, the only one with the network and the token."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from orchestrator.base.errors import CellError, UserError
from orchestrator.base.files import only_one, open_to_all, write_json
from orchestrator.models import checkpoint, manifest
from orchestrator.models.formats import gguf
from orchestrator.models.formats.binary import UnreadableArtefact

SPEC = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[A-Za-z0-9][\w./-]*))?", re.ASCII)
COMMIT = re.compile("[0-9a-f]{7,40}")
SHOWN = 12  # digits of a commit in a name
BACKOFF_S = 1.0  # before the first retry; doubles
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
ROOT = Path(__file__).resolve().parents[3]


def fetch(spec: str, cache: Path, say: Callable[[str], None], file: str | None = None) -> tuple[str, Path]:
    """Bring the model `ORG/NAME[@REV]` (`SPEC` matches) into the cache: `("ORG/NAME@<12 digits>", folder)`.

    With `file`, only that GGUF file; the folder is named after the commit in either case.

    REV is a branch, a tag or a commit (default: `main`). A cached commit needs no network. A branch or tag is resolved
    on the hub, since it moves; if the hub cannot be reached, its last commit in the cache is used, with a notice. The
    caller verifies the folder's manifest.

    Raises CellError `fetch_failed`, one line that says what, why and what to do; UserError for a model that must not be
    loaded (`checkpoint.validate`).
    """
    match = SPEC.fullmatch(spec)
    repo, revision = match["repo"], match["revision"] or "main"
    root = cache / "models" / "hub" / repo.replace("/", "--")
    if file:  # a GGUF repository has one file per type, and a run needs one of them
        root = cache / "models" / "gguf" / f"{repo}/{file}".replace("/", "--")
    commit = _cached_commit(root, revision)
    if not commit:
        root.mkdir(parents=True, exist_ok=True)
        with only_one(root / ".lock", f"fetching {repo}", say):
            commit = _cached_commit(root, revision) or _download(repo, revision, root, say, file)
    if not commit.startswith(revision):
        say(f"{repo}: {revision if match['revision'] else 'no revision given, so main, which'} is commit {commit}")
    return f"{repo}@{commit[:SHOWN]}", root / commit


def _cached_commit(root: Path, revision: str) -> str | None:
    """The only cached commit that starts with `revision`: --model accepts the short commit that tables show."""
    if not COMMIT.fullmatch(revision):
        return None
    commits = [path.name for path in root.glob(f"{revision}*") if path.is_dir()]
    return commits[0] if len(commits) == 1 else None


def _download(repo: str, revision: str, root: Path, say: Callable[[str], None], file: str | None) -> str:
    """Resolve `revision`, download its commit into `root` unless it is cached, and return the commit."""
    record = root / "revisions.json"
    commits = json.loads(record.read_text()) if record.exists() else {}
    request = {"repo": repo, "revision": revision, "root": str(root), "backoff_s": BACKOFF_S, "file": file}
    answer = _fetch_step(request, say)
    if answer.get("unreachable") and (root / commits.get(revision, "never seen")).is_dir():
        say(f"{answer['failed']}; using the commit that {revision} was at last time")
        return commits[revision]
    if "failed" in answer:
        raise CellError("fetch_failed", answer["failed"])
    if "refused" in answer:
        raise UserError(answer["refused"])
    commit = answer["commit"]
    if not (root / commit).is_dir():
        _accept(root / f".incomplete-{commit}", root / commit, repo, file, say)
    write_json(record, commits | {revision: commit})
    return commit


def _accept(fetched: Path, final: Path, repo: str, file: str | None, say: Callable[[str], None]) -> None:
    """Write the manifest of a complete download and rename it. Raises UserError if it must not be loaded."""
    shutil.rmtree(fetched / ".cache", ignore_errors=True)  # huggingface_hub's state for resuming
    try:
        if file:
            gguf.tensors(fetched / file)
        else:
            checkpoint.validate(fetched)
    except (UserError, UnreadableArtefact) as error:
        shutil.rmtree(fetched)
        raise UserError(f"{repo}: {str(error).replace(f'{fetched}/', '')}") from None
    names = [file] if file else checkpoint.identity_files(fetched)
    manifest.write(fetched, manifest.compute(fetched, names, say))
    open_to_all(fetched)
    fetched.rename(final)


def _fetch_step(request: dict, say: Callable[[str], None]) -> dict:
    """Run fetch_step.py on `request`, pass its lines to `say`, and return its answer."""
    with tempfile.TemporaryDirectory(prefix="hub-fetch-") as private:  # mode 0700
        token, answer, log = (Path(private) / name for name in ("token", "answer.json", "log"))
        environment = {name: value for name, value in os.environ.items() if name not in TOKEN_VARIABLES} | {
            "HF_TOKEN_PATH": str(token),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        secret = _token()
        if secret:
            with os.fdopen(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
                handle.write(secret)
        with log.open("w+") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator.models.hub.fetch_step"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
            try:
                json.dump(request | {"answer": str(answer)}, process.stdin)
                process.stdin.close()
                for line in process.stdout:
                    say(line.rstrip("\n"))
                process.wait()
            finally:  # Ctrl-C must not leave a download behind
                process.kill()
                process.wait()
                process.stdout.close()
            if answer.exists():
                return json.loads(answer.read_text())
            errors.seek(0)
            last = (errors.read().strip().splitlines() or ["no message"])[-1]
    last = last.replace(secret, "***") if secret else last
    return {"failed": f"{request['repo']}: the fetch step ended with exit code {process.returncode}: {last[:300]}"}


def _token() -> str | None:
    """The user's token, from the places that huggingface_hub uses: a variable, else the file of its login.

    The library's own function is not used: it may access the network to renew a login.
    """
    for variable in TOKEN_VARIABLES:
        if os.environ.get(variable, "").strip():
            return os.environ[variable].strip()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    stored = Path(os.environ.get("HF_TOKEN_PATH") or home / "token").expanduser()
    try:
        return stored.read_text().strip() or None
    except OSError:
        return None
