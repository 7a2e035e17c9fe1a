"""Fuzzing that follows the code's branches: bytes to the readers of files whose every length may be a lie.

    python -m venv V; V/bin/pip install -r .venv/dependencies.txt atheris
    V/bin/python -m tests.coverage_fuzz gguf -max_total_time=600

The first argument is a name from TARGETS, the rest are libFuzzer's. Whatever a reader does but refuse in one line, or
list what can be there, is a crash: the input that did it is written to the current folder. The hypothesis tests in
unit/test_fuzz.py know the form of what they damage and run in every test run; this one finds its way by coverage, for
as long as it is let.
"""

import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["orchestrator"]):
    from orchestrator.base import reading
    from orchestrator.base.errors import UserError
    from orchestrator.base.paths import ROOT
    from orchestrator.base.reading import Unreadable
    from orchestrator.judge.samples import BadSamples, read_samples
    from orchestrator.models.formats import gguf
    from orchestrator.models.formats.binary import UnreadableArtefact
    from orchestrator.models.formats.tensor_list import read_artefact
    from orchestrator.models.ready.entry import load_entry
    from orchestrator.plan import engine_yaml
    from orchestrator.results import journal

# After the modules that these import are instrumented.
from tests.support.checkpoints import gguf_folder, gguf_text
from tests.support.contenders import cell
from tests.support.results_directory import result, results, sample


def table(name: str):
    """A reader of tensor tables, given the bytes as the file `name`."""

    def read(folder: Path, content: bytes) -> None:
        (folder / name).write_bytes(content)
        try:
            found = read_artefact(folder)
        except UnreadableArtefact as error:
            one_line(error)
        else:
            assert 0 <= sum(tensor.nbytes for tensor in found) <= len(content)

    return read


def vocabulary(folder: Path, content: bytes) -> None:
    """The metadata that tokenizers are compared by."""
    path = folder / "model.gguf"
    path.write_bytes(content)
    with suppress(UnreadableArtefact):
        for value in gguf.metadata(path, ("tokenizer.ggml.tokens", "general.alignment")).values():
            assert isinstance(value, int) or len(value) <= len(content)


def samples(folder: Path, content: bytes) -> None:
    (folder / "samples.jsonl").write_bytes(content)
    with suppress(BadSamples):
        for each in read_samples(folder / "samples.jsonl"):
            assert each["steps_ns"][-1] > 0


def records(folder: Path, content: bytes) -> None:
    (folder / journal.NAME).write_bytes(content)
    with suppress(UserError):
        for each in journal.read(folder):
            json.dumps(each)


def document(folder: Path, content: bytes) -> None:
    (folder / "result.json").write_bytes(content)
    with suppress(Unreadable, ValueError):
        json.dumps(reading.parse(reading.read_text(folder / "result.json", 2**20)), allow_nan=False).encode()


def manifest(folder: Path, content: bytes) -> None:
    path = folder / "bench_x" / "engine.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    refused_or(lambda: engine_yaml.read(path))


def model_entry(folder: Path, content: bytes) -> None:
    (folder / "entry.yaml").write_bytes(content)
    refused_or(lambda: load_entry(str(folder / "entry.yaml"), ["gguf-q4_0", "awq-g128"]))


def refused_or(read) -> None:
    try:
        read()
    except UserError as error:
        one_line(error)


def one_line(error: Exception) -> None:
    assert str(error).strip() and "\n" not in str(error)


def seeds(folder: Path) -> dict[str, list[bytes]]:
    """A sound file of each kind to begin with, where the form is not soon guessed."""
    words = gguf_text("tokenizer.ggml.tokens") + bytes([9, 0, 0, 0, 8, 0, 0, 0, 1, *[0] * 7]) + gguf_text("a")
    gguf_folder(folder / "seed.gguf", [("token_embd.weight", (64, 32), 8), ("output.weight", (8, 32), 0)], [words])
    whole = (folder / "seed.gguf").read_bytes()
    header = json.dumps({"a": {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]}}).encode()
    return {
        "gguf": [whole],
        "vocabulary": [whole],
        "safetensors": [len(header).to_bytes(8, "little") + header + bytes(32)],
        "ctranslate2": [b"\6\0\0\0\2\0A\0\1\0\0\0\1\0\0\0\2\0a\0\1\2\0\0\0\1\2\0\0\0zz\0\0\0\0"],
        "journal": [(results(folder / "run", [cell()]) / journal.NAME).read_bytes()],
        "result": [json.dumps(result()).encode()],
        "samples": [(json.dumps(sample()) + "\n").encode()],
        "manifest": [(ROOT / "bench_dummy" / "engine.yaml").read_bytes()],
        "model_entry": [b"model: tiny\nready:\n  gguf-q4_0: {hub: ORG/NAME@REV, file: a.gguf}\n"],
    }


TARGETS = {
    "gguf": table("model.gguf"), "safetensors": table("model.safetensors"), "ctranslate2": table("model.bin"),
    "onnx": table("model.onnx"), "vocabulary": vocabulary, "samples": samples, "journal": records, "result": document,
    "manifest": manifest, "model_entry": model_entry,
}  # fmt: skip


def main() -> None:
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        sys.exit(f"no target {name!r}; known: {', '.join(TARGETS)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder, corpus = Path(scratch) / "read", Path(scratch) / "corpus"
        folder.mkdir(), corpus.mkdir()
        for number, content in enumerate(seeds(Path(scratch)).get(name, ())):
            (corpus / str(number)).write_bytes(content)
        atheris.Setup([*sys.argv, str(corpus)], lambda content: TARGETS[name](folder, content))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
