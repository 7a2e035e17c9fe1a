"""engine.yaml is read strictly: file, line, key, and what was expected."""

import pytest

from orchestrator.base.errors import UserError
from orchestrator.base.paths import ROOT
from orchestrator.plan import engine_yaml
from orchestrator.plan.engine import Support, ready_schemes, select_engines
from tests.support import contenders

GOOD = """\
name: toy
title: Toy
version: "1.0"
homepage: https://example.org
licence: MIT
capabilities: {streams: true, logprobs: false, batch: true}
devices:
  cpu: {base: "debian:bookworm-slim", state: supported}
variants:
  float32:
    precision: float32
    default: true
    devices: {cpu: supported}
"""


def write(root, text, folder="bench_toy"):
    path = root / folder / "engine.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def complaint(tmp_path, old, new, text=GOOD):
    """(line, rest of the message) of the refusal of GOOD with `old` replaced by `new`."""
    assert text.count(old) == 1, old
    path = write(tmp_path, text.replace(old, new))
    with pytest.raises(UserError) as caught:
        engine_yaml.read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}:")
    line, _, rest = message.removeprefix(f"{path}:").partition(": ")
    return int(line), rest


def test_a_good_file_is_read(tmp_path):
    engine = engine_yaml.read(write(tmp_path, GOOD))
    assert (engine.name, engine.title, engine.version, engine.test_only) == ("toy", "Toy", "1.0", False)
    assert engine.capabilities == {"streams": True, "logprobs": False, "batch": True, "ragged": False}
    variant = engine.variants["float32"]
    assert (variant.precision, variant.scheme, variant.settings, variant.default) == ("float32", "float32", {}, True)
    assert engine.support(variant, "cpu").runs
    assert engine.support(variant, "cuda") == Support("unsupported", "Toy has no cuda entry")


def test_ready_made_checkpoints_are_one_scheme_or_several(tmp_path):
    text = GOOD.replace("default: true", "ready: gguf-q4_0")
    assert engine_yaml.read(write(tmp_path, text)).variants["float32"].ready == ("gguf-q4_0",)
    text = GOOD.replace("default: true", "ready: [awq-g128, awq-g64]")
    engine = engine_yaml.read(write(tmp_path, text))
    assert engine.variants["float32"].only_ready
    assert ready_schemes([engine]) == ["awq-g128", "awq-g64"]


MISTAKES = {
    "missing key": ("licence: MIT\n", "", 1, "licence: expected this key, which is missing"),
    "unknown key": ("licence: MIT", "licence: MIT\nlicense: MIT", 6, "license: expected one of the keys name, title"),
    "unknown key with a block": ("licence: MIT", "licence: MIT\nextra:\n  deep: 1", 6, "extra: expected one of"),
    "unquoted version": ('"1.0"', "1.0", 3, 'version: expected text (write it in quotes: "1.0")'),
    "version is a list": ('"1.0"', "[1, 0]", 3, "version: expected text"),
    "key twice": ("title: Toy", "title: Toy\ntitle: Toy", 3, "title: expected each key once"),
    "other folder": ("name: toy", "name: tou", 1, "name: expected 'toy', as the folder is named"),
    "bad name": ("name: toy", "name: Toy", 1, "name: expected text of the form [a-z0-9_]+, not 'Toy'"),
    "flag is a word": ("streams: true", "streams: maybe", 6, "capabilities.streams: expected true or false"),
    "verified is a number": ("state: supported", "state: supported, verified: 1", 8, "devices.cpu.verified: expected"),
    "verified without a date": (
        "state: supported", "state: supported, verified: yesterday", 8,
        "devices.cpu.verified: expected false, or text: <date>, <hardware>, <result file>",
    ),
    "verified is true": ("state: supported", "state: supported, verified: true", 8, "devices.cpu.verified: expected"),
    "compute capability": (
        "default: true", "compute_capability: Ada", 12, "variants.float32.compute_capability: expected text",
    ),
    "requires": ("default: true", "requires: {vocab_size: eight}", 12, "variants.float32.requires.vocab_size: "),
    "architecture without a reason": (
        "variants:\n", "architectures:\n  gemma: {state: unsupported}\nvariants:\n", 10,
        "architectures.gemma.note: expected the reason",
    ),
    "beyond what is right": (
        "variants:\n", "architectures:\n  gemma: {state: caveat, note: n, beyond: k}\nvariants:\n", 10,
        "architectures.gemma.beyond: expected no such key where the state is not 'wrong'",
    ),
    "a device that is wrong": ("state: supported", "state: wrong, note: n", 8, "devices.cpu.state: expected one of"),
    "flag missing": ("streams: true, ", "", 6, "capabilities.streams: expected this key, which is missing"),
    "unknown device": ("  cpu: {base", "  gpu: {base", 8, "devices.gpu: expected one of cpu, cuda, rocm, metal"),
    "unknown device, block": (
        "variants:\n", "  gpu:\n    state: supported\nvariants:\n", 9, "devices.gpu: expected one of cpu",
    ),
    "devices is a list": (
        'devices:\n  cpu: {base: "debian:bookworm-slim", state: supported}', "devices: [cpu]", 7,
        "devices: expected a mapping",
    ),
    "unknown state": ("state: supported", "state: works", 8, "devices.cpu.state: expected one of supported, caveat"),
    "no reason": ("state: supported", "state: planned", 8, "devices.cpu.note: expected the reason, since the state is"),
    "no base": ('base: "debian:bookworm-slim", ', "", 8, "devices.cpu.base: expected"),
    "native is a word": ("state: supported", "state: supported, native: avx", 8, "devices.cpu.native: expected true"),
    "unknown precision": (
        "precision: float32", "precision: fp32", 11, "variants.float32.precision: expected one of float32, bfloat16",
    ),
    "no precision": ("    precision: float32\n", "", 11, "variants.float32.precision: expected this key, which is"),
    "variant's device": (
        "{cpu: supported}", "{cuda: supported}", 13, "variants.float32.devices.cuda: expected a device listed under",
    ),
    "variant's state": (
        "{cpu: supported}", "{cpu: unsupported}", 13, "variants.float32.devices.cpu: expected one of supported, not",
    ),
    "variant's reason": (
        "{cpu: supported}", "{cpu: {state: caveat}}", 13, "variants.float32.devices.cpu.note: expected the reason",
    ),
    "variant's name": ("  float32:\n", "  Float 32:\n", 10, "variants.Float 32: expected a name of a-z"),
    "row_multiple": ("default: true", "row_multiple: many", 12, "variants.float32.row_multiple: expected a whole"),
    "row_multiple is a flag": ("default: true", "row_multiple: true", 12, "variants.float32.row_multiple: expected"),
    "settings": ("default: true", "settings: fast", 12, "variants.float32.settings: expected a mapping"),
    "ready": ("default: true", "ready: q4_0", 12, "variants.float32.ready: expected gguf-<type>, gptq-int<bits>-g"),
    "one of ready": ("default: true", "ready: [gguf-q4_0, 4]", 12, "variants.float32.ready.1: expected text"),
    "artefact": ("default: true", "artefact: 8", 12, "variants.float32.artefact: expected text (write it in quotes"),
    "tab": ("  cpu: {base", "\tcpu: {base", 8, "not valid YAML"),
    "code": ('"1.0"', "!!python/object:os.system {}", 3, "version: expected"),
    "list as a key": ("licence: MIT", "licence: MIT\n? [a]\n: 1", 6, "expected plain text as a key"),
    "control character": ("title: Toy", "title: T\x07y", 2, "not valid YAML"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_line_key_and_expectation(name, tmp_path):
    old, new, line, message = MISTAKES[name]
    found, rest = complaint(tmp_path, old, new)
    assert rest.startswith(message)
    assert found == line


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(UserError, match="expected a mapping of keys to values"):
        engine_yaml.read(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = write(tmp_path, GOOD)
    path.write_bytes(b"name: t\xffy\n")
    with pytest.raises(UserError, match="UTF-8"):
        engine_yaml.read(path)


def test_no_variants(tmp_path):
    text = GOOD.partition("variants:")[0]
    assert complaint(tmp_path, "licence: MIT", "licence: MIT", text + "variants: {}\n")[1] == (
        "variants: expected at least one variant"
    )


def test_the_device_s_word_comes_before_the_variant_s(tmp_path):
    text = GOOD.replace("state: supported", 'state: planned, note: "next year"')
    engine = engine_yaml.read(write(tmp_path, text))
    assert engine.support(engine.variants["float32"], "cpu") == Support("planned", "next year")


def test_engines_are_found_by_their_folders(tmp_path):
    for name in ("b", "a"):
        write(tmp_path, GOOD.replace("toy", name), f"bench_{name}")
    (tmp_path / "bench_empty").mkdir()
    assert list(engine_yaml.discover(tmp_path)) == ["a", "b"]


def test_the_engines_of_this_checkout_are_valid():
    found = engine_yaml.discover()
    assert {f"bench_{name}" for name in found} == {path.parent.name for path in ROOT.glob("bench_*/engine.yaml")}
    assert found["dummy"].test_only


@pytest.fixture
def three(tmp_path):
    for name in ("alpha", "beta", "dummy"):
        extra = "test_only: true\n" if name == "dummy" else ""
        write(tmp_path, GOOD.replace("toy", name) + extra, f"bench_{name}")
    return engine_yaml.discover(tmp_path)


def test_selection_keeps_the_order_asked_for_and_drops_repetitions(three):
    assert [engine.name for engine in select_engines("beta, alpha,beta", three)] == ["beta", "alpha"]


def test_all_leaves_out_what_only_tests_use(three):
    assert [engine.name for engine in select_engines("all", three)] == ["alpha", "beta"]
    assert [engine.name for engine in select_engines("dummy", three)] == ["dummy"]


def test_without_a_word_those_marked_are_taken_and_the_reference_leads():
    chosen = [contenders.engine("alpha", by_default=True), contenders.engine("beta"),
              contenders.engine("gamma", by_default=True, reference=True)]  # fmt: skip
    assert [engine.name for engine in select_engines(None, {each.name: each for each in chosen})] == ["gamma", "alpha"]
    assert len(select_engines(None, engine_yaml.discover())) >= 2


@pytest.mark.parametrize(("given", "first"), [("bata", "beta"), ("ALPHA", "alpha"), ("dumy", "dummy"), ("al", "all")])
def test_an_unknown_engine_is_answered_with_the_closest_first(three, given, first):
    with pytest.raises(UserError) as caught:
        select_engines(f"alpha,{given}", three)
    message = str(caught.value)
    assert message.startswith(f"unknown engine {given!r}: did you mean {first!r}? valid: {first}, ")
    assert all(name in message for name in ("all", *three))
    assert "\n" not in message


def test_nothing_like_it_gets_the_list_without_a_guess(three):
    with pytest.raises(UserError, match=r"^unknown engine 'zzzz': valid: all, alpha, beta, dummy$"):
        select_engines("zzzz", three)


@pytest.mark.parametrize("given", ["", " , "])
def test_no_engine_named(three, given):
    with pytest.raises(UserError, match="names no engine; valid: all, alpha"):
        select_engines(given, three)


def test_a_caveat_of_the_device_is_every_variants(tmp_path):
    text = GOOD.replace("state: supported}", "state: caveat, note: a successor, link: https://a.example}")
    text = text.replace("{cpu: supported}", "{cpu: {state: caveat, note: slow}}")
    engine = engine_yaml.read(write(tmp_path, text))
    support = engine.support(engine.variants["float32"], "cpu")
    assert (support.state, support.note, support.link) == ("caveat", "a successor; slow", "https://a.example")


def test_where_it_was_verified_is_text(tmp_path):
    words = "2026-11-20, one machine, results/a.md"
    text = GOOD.replace("state: supported}", f'state: supported, verified: "{words}"}}')
    assert engine_yaml.read(write(tmp_path, text)).devices["cpu"].verified == words


def test_an_engine_can_build_on_the_software_of_another(tmp_path):
    write(tmp_path, GOOD)
    own = GOOD.replace("name: toy", "name: second\nbuilds_on: toy")
    second = engine_yaml.read(write(tmp_path, own, "bench_second"))
    assert second.software == tmp_path / "bench_toy"
    assert second.folders == (tmp_path / "bench_second", tmp_path / "bench_toy")
    first = engine_yaml.read(tmp_path / "bench_toy" / "engine.yaml")
    assert (first.software, first.folders) == (first.folder, (first.folder,))


@pytest.mark.parametrize("other", ["nobody", "toy"])
def test_an_engine_builds_on_a_folder_that_exists_and_is_not_its_own(tmp_path, other):
    line, rest = complaint(tmp_path, "licence: MIT", f"licence: MIT\nbuilds_on: {other}")
    assert (line, rest) == (6, "builds_on: expected the name of another engine's folder, without bench_")


def test_what_a_model_must_have_is_read(tmp_path):
    lines = [
        "column_multiple: 8",
        "requires: {vocab_size: 8}",
        'compute_capability: ">=8.9"',
        "gpus: 2",
        "default: true",
    ]
    more = "\n    ".join(lines)
    variant = engine_yaml.read(write(tmp_path, GOOD.replace("default: true", more))).variants["float32"]
    assert (variant.column_multiple, variant.requires) == (8, {"vocab_size": 8})
    assert (variant.compute_capability, variant.gpus) == (">=8.9", 2)


@pytest.mark.parametrize("other", ["../../etc", "toy/..", "a b"])
def test_what_an_engine_builds_on_is_no_path(tmp_path, other):
    line, rest = complaint(tmp_path, "licence: MIT", f"licence: MIT\nbuilds_on: {other}")
    assert line == 6 and rest.startswith("builds_on: expected text of the form [a-z0-9_]+")
