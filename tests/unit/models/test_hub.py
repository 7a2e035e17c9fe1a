import json
import shutil
import stat
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import save

from orchestrator.base.errors import CellError, UserError
from orchestrator.models import manifest
from orchestrator.models.hub import fetch as hub_fetch
from orchestrator.models.hub import retry
from orchestrator.models.hub.retry import Failed
from orchestrator.models.model import Model
from orchestrator.models.resolve import resolve
from tests.support.hub_server import StubHub

REPO = "org/some-model"
SECRET = "hf_ThisIsTheSecretOfTheTest"
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 16,
}
FILES = {
    "README.md": b"not wanted",
    "config.json": json.dumps(CONFIG).encode(),
    "consolidated.safetensors": b"wanted by nobody: the same weights again",
    "model-00001-of-00002.safetensors": save({"a": np.arange(30_000, dtype=np.float32)}),
    "model-00002-of-00002.safetensors": save({"b": np.ones(10, np.float32)}),
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    ).encode(),
    "onnx/model.safetensors": b"below the top",
    "pytorch_model.bin": b"\x80\x04.",
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b'{"a": 1}',
}
FETCHED = {name for name in FILES if name not in ("README.md", "pytorch_model.bin", "consolidated.safetensors")}
FETCHED.discard("onnx/model.safetensors")


pytestmark = pytest.mark.usefixtures("no_hub_of_the_machine")


@pytest.fixture
def stub(monkeypatch):
    with StubHub(REPO, dict(FILES)) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def fetch(tmp_path: Path, spec: str = REPO, said: list | None = None) -> Model:
    return resolve(spec, tmp_path / "cache", say=(said if said is not None else []).append)


def failure(tmp_path: Path, spec: str = REPO) -> str:
    with pytest.raises(CellError) as error:
        fetch(tmp_path, spec)
    assert error.value.outcome == "fetch_failed"
    assert "\n" not in error.value.reason
    assert REPO in error.value.reason
    assert not finished(tmp_path)
    return error.value.reason


def finished(tmp_path: Path) -> list[Path]:
    """Folders that a later run would take for a model."""
    root = tmp_path / "cache" / "models" / "hub"
    return [path for path in root.glob("*/*") if path.is_dir() and not path.name.startswith(".")]


def test_a_model_is_fetched_checked_and_named_by_its_commit(tmp_path, stub):
    said: list[str] = []
    model = fetch(tmp_path, said=said)
    assert model.name == f"{REPO}@{stub.commit[:12]}"
    assert model.path == tmp_path / "cache" / "models" / "hub" / "org--some-model" / stub.commit
    assert {path.name for path in model.path.iterdir()} == FETCHED | {"manifest.json"}
    assert all((model.path / name).read_bytes() == FILES[name] for name in FETCHED)
    assert set(model.manifest) == FETCHED
    assert model.config == CONFIG
    assert not model.synthetic
    assert stat.S_IMODE((model.path / "config.json").stat().st_mode) == 0o644
    assert f"{REPO}: no revision given, so main, which is commit {stub.commit}" in said
    assert set(stub.downloads()) == FETCHED
    assert stub.downloads()[0] == "config.json"


def test_a_commit_in_the_cache_needs_no_network(tmp_path, stub):
    first = fetch(tmp_path)
    stub.requests.clear()
    for revision in (stub.commit, stub.commit[:12]):
        assert fetch(tmp_path, f"{REPO}@{revision}") == first
    assert not stub.requests


def test_a_branch_is_asked_for_but_not_fetched_twice(tmp_path, stub):
    stub.revisions["v1.0"] = stub.commit
    first = fetch(tmp_path, f"{REPO}@v1.0")
    stub.requests.clear()
    assert fetch(tmp_path, f"{REPO}@v1.0") == first
    assert not stub.downloads()
    assert len(stub.requests) == 1


def test_without_a_network_a_branch_is_what_it_was(tmp_path, stub, monkeypatch):
    first = fetch(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    said: list[str] = []
    assert fetch(tmp_path, said=said) == first
    assert any("cannot be reached" in line and "using the commit" in line for line in said)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(tmp_path) == first


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    reason = failure(tmp_path)
    assert "the hub at 127.0.0.1:9 cannot be reached" in reason
    assert "check the network" in reason


def test_offline_mode_is_not_retried(tmp_path, stub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub_fetch, "BACKOFF_S", 60)
    assert "HF_HUB_OFFLINE" in failure(tmp_path)
    assert not stub.requests


@pytest.mark.parametrize(
    ("status", "words"), [(401, "set HF_TOKEN"), (403, "accept the model's terms"), (404, "check the name")]
)
def test_what_will_not_pass_fails_at_once(tmp_path, stub, status, words):
    stub.always = status
    reason = failure(tmp_path)
    assert f"HTTP {status}" in reason
    assert words in reason
    assert len(stub.requests) == 1


def test_unknown_revision(tmp_path, stub):
    assert "no such model or revision (HTTP 404)" in failure(tmp_path, f"{REPO}@v9")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(tmp_path, stub, status):
    stub.fail_first = [status] * 3
    said: list[str] = []
    assert fetch(tmp_path, said=said).name == f"{REPO}@{stub.commit[:12]}"
    assert sum(f"HTTP {status}" in line and "trying again" in line for line in said) == 3


def test_three_retries_and_no_more(tmp_path, stub):
    stub.always = 503
    assert "HTTP 503" in failure(tmp_path)
    assert len(stub.requests) == 4


def test_an_error_in_the_middle_of_the_files_is_tried_again(tmp_path, stub):
    stub.fail_first = [None, None, 500]
    assert set(fetch(tmp_path).manifest) == FETCHED
    assert not stub.fail_first


def test_a_download_that_is_cut_is_resumed_or_begun_again_never_used(tmp_path, stub):
    stub.cut_once = 50_000
    model = fetch(tmp_path)
    name = "model-00001-of-00002.safetensors"
    assert (model.path / name).read_bytes() == FILES[name]
    assert stub.downloads().count(name) == 2


def test_a_download_that_arrives_damaged_is_refused(tmp_path, stub):
    stub.tamper = "model-00001-of-00002.safetensors"
    reason = failure(tmp_path)
    assert "model-00001-of-00002.safetensors arrived damaged (sha256" in reason
    stub.tamper = "tokenizer.json"
    assert "tokenizer.json arrived damaged (git blob" in failure(tmp_path)
    stub.tamper = None
    assert set(fetch(tmp_path).manifest) == FETCHED


def test_a_damaged_cache_is_noticed(tmp_path, stub):
    model = fetch(tmp_path)
    (model.path / "tokenizer.json").write_text("[]")
    with pytest.raises(UserError, match=r"tokenizer\.json was changed or damaged.*delete .*fetched anew"):
        fetch(tmp_path, f"{REPO}@{stub.commit}")
    shutil.rmtree(model.path)
    assert fetch(tmp_path) == model


def test_a_repository_with_pickles_only_is_refused_before_anything_is_fetched(tmp_path, stub):
    stub.files = {name: data for name, data in FILES.items() if not name.endswith(".safetensors")}
    with pytest.raises(UserError, match=r"no \*\.safetensors \(it has pytorch_model\.bin\)"):
        fetch(tmp_path)
    assert not stub.downloads()


def test_custom_code_is_refused_before_the_weights_are_fetched(tmp_path, stub):
    stub.files["config.json"] = json.dumps(CONFIG | {"auto_map": {"AutoModel": "x.Y"}}).encode()
    with pytest.raises(UserError, match=rf"^{REPO}/config\.json has 'auto_map'"):
        fetch(tmp_path)
    assert stub.downloads() == ["config.json"]


def test_a_repository_that_lacks_a_shard_is_refused(tmp_path, stub):
    del stub.files["model-00002-of-00002.safetensors"]
    with pytest.raises(UserError, match=rf"^{REPO}: model-00002-of-00002\.safetensors is missing"):
        fetch(tmp_path)
    assert not finished(tmp_path)


def fetching() -> list[psutil.Process]:
    """The fetch step's processes; other tests' libraries may keep helpers of their own."""
    return [each for each in psutil.Process().children(recursive=True) if "fetch_step" in " ".join(each.cmdline())]


def test_the_token_reaches_the_hub_and_is_seen_nowhere_else(tmp_path, stub, monkeypatch, capfd):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    stub.token = SECRET
    seen: list[str] = []
    modes: list[int] = []
    token_files: set[str] = set()

    def look_at_processes() -> None:
        for child in fetching():
            environment = child.environ()
            seen.extend([*child.cmdline(), *environment, *environment.values()])
            modes.append(stat.S_IMODE(Path(environment["HF_TOKEN_PATH"]).stat().st_mode))
            token_files.add(environment["HF_TOKEN_PATH"])

    stub.on_request = look_at_processes
    said: list[str] = []
    fetch(tmp_path, said=said)
    assert {headers["authorization"] for _, _, headers in stub.requests} == {f"Bearer {SECRET}"}
    assert "HF_TOKEN_PATH" in seen  # the processes were looked at
    assert set(modes) == {0o600}
    assert not any(Path(path).exists() for path in token_files)
    out = capfd.readouterr()
    for text in (*seen, *said, out.out, out.err):
        assert SECRET not in text
    for path in (tmp_path / "cache").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


def test_a_refused_token_is_not_told(tmp_path, stub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    stub.token = "another"
    reason = failure(tmp_path)
    assert "refuses the token" in reason
    assert SECRET not in reason


def test_a_crash_of_the_step_does_not_tell_the_token(tmp_path, stub, monkeypatch):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "huggingface_hub.py").write_text(
        "import os; raise RuntimeError('read ' + open(os.environ['HF_TOKEN_PATH']).read())"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "bad"))
    monkeypatch.setenv("HF_TOKEN", SECRET)
    reason = failure(tmp_path)
    assert "RuntimeError: read ***" in reason


def test_the_stored_token_is_used_where_no_variable_is_set(tmp_path, stub, monkeypatch):
    (tmp_path / "hf-home").mkdir()
    (tmp_path / "hf-home" / "token").write_text(SECRET + "\n")
    stub.token = SECRET
    assert fetch(tmp_path).name.startswith(REPO)


def test_the_endpoint_is_shown_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://user:hunter2@127.0.0.1:9")
    reason = failure(tmp_path)
    assert "127.0.0.1:9" in reason
    assert "hunter2" not in reason


def test_the_fetch_step_does_not_outlive_an_interrupt(tmp_path, stub):
    over = threading.Event()

    def hang() -> None:
        if "/resolve/" in stub.requests[-1][1]:
            over.wait(10)

    def say(line: str) -> None:
        if "fetching" in line:
            raise KeyboardInterrupt

    stub.on_request = hang
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        resolve(REPO, tmp_path / "cache", say=say)
    assert time.monotonic() - start < 8  # the step itself would give up later
    assert not fetching()
    assert not finished(tmp_path)
    over.set()


def test_a_download_that_ends_early_is_worth_another_try(capsys):
    outcomes = iter([OSError("Consistency check failed: file should be of size 2 but has size 1"), "whole"])

    def call() -> str:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert retry.with_retries(call, REPO, backoff_s=0) == "whole"
    assert "was cut" in capsys.readouterr().out


def test_an_error_that_has_nothing_to_do_with_the_network_is_not_retried(capsys):
    calls = []

    def call() -> None:
        calls.append(1)
        raise OSError(28, "No space left on device")

    with pytest.raises(Failed, match="No space left on device"):
        retry.with_retries(call, REPO, backoff_s=0)
    assert len(calls) == 1


def test_the_manifest_in_the_cache_is_the_models(tmp_path, stub):
    model = fetch(tmp_path)
    assert manifest.read(model.path) == model.manifest
    assert model.digest == manifest.digest(model.manifest)
