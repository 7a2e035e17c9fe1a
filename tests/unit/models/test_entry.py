"""A model's entry FILE.yaml: what it names is read, and a mistake is one line that says where and what to do."""

import pytest

from orchestrator.base.errors import UserError
from orchestrator.models.ready import schemes
from orchestrator.models.ready.entry import Entry, Source, load_entry
from orchestrator.models.ready.schemes import Scheme

KNOWN = ("awq-g128", "exl2-4.65bpw", "gguf-q4_0", "gguf-q4_k_m", "gptq-int4-g128")


def read(tmp_path, text, name="entry.yaml"):
    file = tmp_path / name
    file.write_text(text)
    return load_entry(str(file), KNOWN)


def complaint(tmp_path, text):
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{tmp_path / 'entry.yaml'}")
    return message.removeprefix(f"{tmp_path / 'entry.yaml'}").removeprefix(": ")


@pytest.mark.parametrize("spec", ["tiny", "synthetic:llama-160m", "./model", "org/name@main"])
def test_any_other_name_of_a_model_has_no_checkpoints(spec):
    assert load_entry(spec, KNOWN) == Entry(spec)


def test_an_entry_names_the_model_and_checkpoints(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "m.gguf").write_bytes(b"")
    text = """\
model: ./weights
ready:
  gguf-q4_0: {path: weights/m.gguf}
  gguf-q4_k_m: {hub: org/m-GGUF@v1, file: m.Q4_K_M.gguf}
  awq-g128: {hub: org/m-AWQ@0123abc}
  gptq-int4-g128: {path: weights}
"""
    found = read(tmp_path, text)
    assert (found.model, found.file) == (str(tmp_path / "weights"), tmp_path / "entry.yaml")
    assert found.ready == {
        "gguf-q4_0": Source(path=tmp_path / "weights" / "m.gguf"),
        "gguf-q4_k_m": Source(hub="org/m-GGUF@v1", file="m.Q4_K_M.gguf"),
        "awq-g128": Source(hub="org/m-AWQ@0123abc"),
        "gptq-int4-g128": Source(path=tmp_path / "weights"),
    }
    assert str(found.ready["gguf-q4_k_m"]) == "org/m-GGUF@v1 m.Q4_K_M.gguf"


def test_a_link_keeps_its_own_name(tmp_path):
    (tmp_path / "blob").write_bytes(b"")
    (tmp_path / "m.gguf").symlink_to(tmp_path / "blob")
    assert read(tmp_path, "{model: tiny, ready: {gguf-q4_0: {path: m.gguf}}}").ready["gguf-q4_0"].path.name == "m.gguf"


def source(text):
    return f"{{model: tiny, ready: {{gguf-q4_0: {text}}}}}"


MISTAKES = {
    "words": ("just words", "expected a mapping of keys to values: model, ready; see docs/extend/ready_made.md"),
    "no YAML": ("model: [", "not valid YAML: "),
    "no model": ("ready: {}", "model: expected tiny, synthetic:<shape>, a directory, or ORG/NAME@REV"),
    "unknown key": ("{model: tiny, redy: {}}", "redy: expected one of the keys model, ready; did you mean 'ready'?"),
    "a list": ("{model: tiny, ready: [a]}", "ready: expected a mapping"),
    "unknown scheme": (
        "{model: tiny, ready: {gguf-q4_k: {path: .}}}",
        "ready: unknown scheme 'gguf-q4_k': did you mean 'gguf-q4_k_m'? valid: gguf-q4_k_m, awq-g128",
    ),
    "no source": (source("{}"), "ready.gguf-q4_0: expected either path (a file or directory here) or hub"),
    "two sources": (source("{path: ., hub: a/b@c}"), "ready.gguf-q4_0: expected either path"),
    "unknown source key": (
        source("{pth: .}"),
        "ready.gguf-q4_0.pth: expected one of the keys path, hub, file; did you",
    ),
    "a number": (source("{path: 4}"), "ready.gguf-q4_0.path: expected text, not 4"),
    "nowhere": (source("{path: gone.gguf}"), "ready.gguf-q4_0.path: "),
    "no GGUF": (source("{path: entry.yaml}"), "ready.gguf-q4_0.path: "),
    "a name of two lines": (
        source('{hub: org/m@v1, file: "two\\nlines"}'),
        "ready.gguf-q4_0.file: expected the name of one *.gguf file of org/m@v1, not two lines",
    ),
    "file of a path": (source("{path: ., file: a.gguf}"), "ready.gguf-q4_0.file: belongs to hub"),
    "no revision": (source("{hub: a/b, file: c.gguf}"), "ready.gguf-q4_0.hub: 'a/b' is not of the form ORG/NAME@REV"),
    "no file": (source("{hub: a/b@c}"), "ready.gguf-q4_0.file: expected the name of one *.gguf file of a/b@c"),
    "file above": (source("{hub: a/b@c, file: d/../../e.gguf}"), "ready.gguf-q4_0.file: expected the name of one"),
    "a part": (
        source("{hub: a/b@c, file: m-00001-of-00003.gguf}"),
        "ready.gguf-q4_0.file: m-00001-of-00003.gguf is one part of a model",
    ),
    "file of many": (
        "{model: tiny, ready: {awq-g128: {hub: a/b@c, file: d.gguf}}}",
        "ready.awq-g128.file: only GGUF checkpoints are single files",
    ),
    "directory wanted": ("{model: tiny, ready: {awq-g128: {path: entry.yaml}}}", "ready.awq-g128.path: "),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_says_where_and_what_is_expected(tmp_path, name):
    text, message = MISTAKES[name]
    assert complaint(tmp_path, text).removeprefix(":1: ").startswith(message)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"^no such file: .*gone\.yaml; a model's entry is a YAML file, see docs"):
        load_entry(str(tmp_path / "gone.yaml"), KNOWN)


@pytest.mark.parametrize(("name", "expected"), [
    ("gguf-q4_k_m", Scheme("gguf", type="q4_k_m")),
    ("gptq-int4-g128", Scheme("gptq", bits=4, group=128)),
    ("awq-g64", Scheme("awq", bits=4, group=64)),
    ("exl2-4.65bpw", Scheme("exl2", bits=4.65)),
    ("gptq-int4", None), ("q4_0", None), ("awq", None), ("exl2-4", None),
])  # fmt: skip
def test_names_of_schemes(name, expected):
    assert schemes.parse(name) == expected
