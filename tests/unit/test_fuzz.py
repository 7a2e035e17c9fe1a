"""Every file that the orchestrator reads, damaged in hundreds of ways: one clear refusal or a sound value."""

import json
import math
import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench_dummy.bench import Dummy
from common import launch as runtime
from orchestrator.answers.audit import published_table
from orchestrator.base.errors import UserError
from orchestrator.base.outcomes import OUTCOMES
from orchestrator.base.paths import ROOT
from orchestrator.judge.samples import BadSamples, read_samples
from orchestrator.judge.speed import launch_metrics
from orchestrator.judge.verdict import judge_launch
from orchestrator.models.checkpoint import read_header, validate
from orchestrator.models.dimensions import ParameterCounts
from orchestrator.models.formats.binary import UnreadableArtefact
from orchestrator.models.formats.tensor_list import read_artefact
from orchestrator.models.ready.entry import load_entry
from orchestrator.plan import engine, engine_yaml, support
from orchestrator.results import journal, merge
from tests.support import dummy_launches
from tests.support.checkpoints import CONFIG, checkpoint, gguf_folder, gguf_text  # fmt: skip
from tests.support.contenders import cell  # fmt: skip
from tests.support.malformed_documents import SMALL_VALUES, changed, fuzz, text_of, torn
from tests.support.results_directory import CONTEXT, Results, ended, job, launch, result, sample  # fmt: skip
from tests.support.summaries import failed, row, run

JOB = job()
SAMPLES = [sample(i, phase) for i, phase in enumerate(["warmup"] * 3 + ["measure"] * 2)]
ENGINE = (ROOT / "bench_dummy" / "engine.yaml").read_text()
SUMMARY = {"schema": 1, "run": run(), "limits": None, "reference": None, "timeline": [], "rows": [row(), failed()]}
TABLE = (
    b"engine,model,precision,tokens_per_second,parameters,bandwidth_gbs,batch_size\na,llama-2-7b,int8,12.5,7B,900,1\n"
)


@pytest.fixture(scope="module")
def place():
    """A folder in memory where there is one: overwriting a small file on a disk takes longer than reading it."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def one_line(error):
    """A refusal is one line that says something."""
    text = str(error)
    assert text.strip() and "\n" not in text and "Traceback" not in text, text


def unless_refused(read):
    """What `read()` gives; None where it refuses in one line."""
    try:
        return read()
    except UserError as error:
        one_line(error)
        return None


def sound(value):
    """No number that no machine can have measured."""
    if isinstance(value, dict):
        assert all(map(sound, value.values()))
    elif isinstance(value, list):
        assert all(map(sound, value))
    elif isinstance(value, float):
        assert math.isfinite(value)
    return True


# -- what an engine leaves behind --------------------------------------------------------------------------------------


def judged(directory):
    verdict = judge_launch(ended(), directory, JOB, CONTEXT)
    assert verdict.outcome in OUTCOMES
    assert verdict.outcome == "ok" or (verdict.reason or "").strip()
    if verdict.outcome == "ok":
        samples = read_samples(directory / "out" / "samples.jsonl")
        metrics = launch_metrics(samples, JOB, verdict.result["streams"])
        measured = [each for each in samples if each["phase"] == "measure"]
        assert len(measured) == JOB["repetitions"]
        assert all(len(each["ids"]) == JOB["shape"]["new_tokens"] for each in measured)
        assert sound(metrics) and all(value > 0 for value in metrics["e2e_tps"])
        json.dumps(verdict.result, allow_nan=False).encode()
    return verdict


@pytest.fixture(scope="module")
def left_behind(place):
    return launch(place / "launch", JOB)


@fuzz
@given(made=changed(result()))
def test_result(left_behind, made):
    (left_behind / "out" / "samples.jsonl").write_text("".join(json.dumps(each) + "\n" for each in SAMPLES))
    (left_behind / "out" / "result.json").write_text(text_of(made))
    judged(left_behind)


@fuzz
@given(made=torn(json.dumps(result()).encode()))
def test_result_bytes(left_behind, made):
    (left_behind / "out" / "result.json").write_bytes(made)
    judged(left_behind)


@fuzz
@given(made=changed(SAMPLES))
def test_samples(left_behind, made):
    (left_behind / "out" / "result.json").write_text(json.dumps(result()))
    (left_behind / "out" / "samples.jsonl").write_text("".join(text_of(each) + "\n" for each in made))
    judged(left_behind)


@fuzz
@given(made=torn("".join(json.dumps(each) + "\n" for each in SAMPLES).encode()))
def test_samples_bytes(left_behind, made):
    path = left_behind / "out" / "samples.jsonl"
    path.write_bytes(made)
    with suppress(BadSamples):
        for each in read_samples(path):
            assert each["steps_ns"][-1] > 0
    judged(left_behind)


# -- what a contributor writes -----------------------------------------------------------------------------------------


def read_engine(folder, content: bytes):
    path = folder / "bench_dummy" / "engine.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    try:
        found = engine_yaml.read(path)
    except UserError as error:
        one_line(error)
        assert str(path) in str(error)
    else:
        assert found.name == "dummy" and found.variants
        for each in found.variants.values():
            assert each.precision in engine.PRECISIONS
            assert found.support(each, "cpu").state in engine.STATES


@fuzz
@given(made=changed(yaml.safe_load(ENGINE)))
def test_engine(place, made):
    try:
        content = yaml.safe_dump(made, allow_unicode=True).encode()
    except (UnicodeEncodeError, yaml.YAMLError):
        return
    read_engine(place, content)


@fuzz
@given(made=torn(ENGINE.encode()))
def test_engine_bytes(place, made):
    read_engine(place, made)


ENTRY = b"model: tiny\nready:\n  gguf-q4_0: {hub: ORG/NAME@REV, file: a.gguf}\n  awq-g128: {path: .}\n"


@fuzz
@given(made=torn(ENTRY))
def test_model_entry(place, made):
    path = place / "entry.yaml"
    path.write_bytes(made)
    found = unless_refused(lambda: load_entry(str(path), ["gguf-q4_0", "awq-g128"]))
    assert found is None or (isinstance(found.model, str) and set(found.ready) <= {"gguf-q4_0", "awq-g128"})


@fuzz
@given(made=torn(TABLE))
def test_audit(place, made):
    path = place / "table.csv"
    path.write_bytes(made)
    rows = unless_refused(lambda: published_table.audit(path))
    assert rows is None or (sound(json.loads(published_table.as_json(rows))) and published_table.as_table(rows))


# -- models ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_folder(place):
    return checkpoint(place / "model")


@fuzz
@given(made=changed({**CONFIG, "num_key_value_heads": 2, "head_dim": 4, "rope_scaling": None}))
def test_model_config(model_folder, made):
    (model_folder / "config.json").write_text(text_of(made))
    config = unless_refused(lambda: validate(model_folder))
    if config is None:
        return
    for multiple in (None, 32):
        support.unsupported(cell(row_multiple=multiple, requires={"head_dim": 8}), "cpu", config)
    found = ParameterCounts.of(model_folder)
    assert found.parameters > 0


@fuzz
@given(made=torn(json.dumps(CONFIG).encode()))
def test_model_config_bytes(model_folder, made):
    (model_folder / "config.json").write_bytes(made)
    unless_refused(lambda: validate(model_folder))


def listed(folder):
    try:
        found = read_artefact(folder)
    except UnreadableArtefact as error:
        one_line(error)
    else:
        size = sum(path.stat().st_size for path in folder.iterdir())
        assert all(tensor.nbytes >= 0 for tensor in found)
        assert sum(tensor.nbytes for tensor in found) <= size


HEADER = {
    "__metadata__": {"format": "pt"},
    "a.weight": {"dtype": "F32", "shape": [4, 8], "data_offsets": [0, 128]},
    "b.weight": {"dtype": "I8", "shape": [8], "data_offsets": [128, 136]},
}


@pytest.fixture(scope="module")
def one_shard(place):
    folder = place / "shard"
    folder.mkdir()
    return folder


def shard(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + bytes(136)


@fuzz
@given(made=changed(HEADER))
def test_safetensors_header(one_shard, made):
    (one_shard / "model.safetensors").write_bytes(shard(text_of(made).encode()))
    listed(one_shard)
    unless_refused(lambda: read_header(one_shard / "model.safetensors"))


@fuzz
@given(made=torn(shard(json.dumps(HEADER).encode())))
def test_safetensors_bytes(one_shard, made):
    (one_shard / "model.safetensors").write_bytes(made)
    listed(one_shard)


def gguf_bytes(folder):
    metadata = [gguf_text("general.architecture") + (8).to_bytes(4, "little") + gguf_text("llama")]
    path = folder / "made.gguf"
    gguf_folder(path, [("token_embd.weight", (64, 32), 8), ("output.weight", (64, 32), 0)], metadata)
    return path.read_bytes()


@fuzz
@given(data=st.data())
def test_gguf_bytes(place, data):
    folder = place / "gguf"
    folder.mkdir(exist_ok=True)
    whole = gguf_bytes(folder)
    (folder / "made.gguf").write_bytes(data.draw(torn(whole)))
    listed(folder)


# -- what the suite itself wrote ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(place):
    """A finished run of two cells, and its journal's records."""
    first, second = cell("alpha"), cell("beta")
    made = Results(place / "results").run([first, second], launches=2)
    for each in (first, second):
        made.plan(each, ["k0", "k1"])
    for block, key in enumerate(("k0", "k1")):
        made.launch(first, block, key)
    made.launch(second, 0, "k0", "engine_error", "it broke")
    directory = made.end()
    return directory, [json.loads(line) for line in (directory / journal.NAME).read_text().splitlines()]


def summarised(directory):
    summary = unless_refused(lambda: merge.load(directory))
    for each in summary["rows"] if summary is not None else ():
        assert each["decode_tps"] is None or each["decode_tps"]["median"] > 0


@fuzz
@given(data=st.data())
def test_journal(results, data):
    directory, records = results
    made = data.draw(changed(records))
    (directory / journal.NAME).write_text("".join(text_of(each) + "\n" for each in made))
    summarised(directory)


@fuzz
@given(data=st.data())
def test_journal_bytes(results, data):
    directory, records = results
    whole = "".join(json.dumps(each) + "\n" for each in records).encode()
    (directory / journal.NAME).write_bytes(data.draw(torn(whole)))
    summarised(directory)


@fuzz
@given(made=changed(SUMMARY))
def test_summary(place, made):
    """Read by every command that answers a question."""
    folder = place / "summary"
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_text(text_of(made))
    found = unless_refused(lambda: merge.load(folder))
    assert found is None or isinstance(found["rows"], list)


# -- the job, as an engine's side reads it -----------------------------------------------------------------------------

RUNS = dummy_launches.make(first_ms=0.1, step_ms=0.1)


@fuzz
@given(made=changed(RUNS, SMALL_VALUES))
def test_job(place, made):
    """A launch of whatever job ends with a result that says so, or without one: never with one that is wrong."""
    out = place / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    try:
        code = runtime.run(Dummy, json.loads(text_of(made)), out)
    except Exception:
        assert not (out / "result.json").exists()
        return
    told = json.loads((out / "result.json").read_text())
    assert (code == 0) == (told["outcome"] == "ok") and told["outcome"] in OUTCOMES
