"""Ready-made checkpoints: from an entry to what an engine is given, and what is refused on the way."""

import json
import struct

import pytest

from orchestrator.base.errors import CellError, UserError
from orchestrator.models import manifest
from orchestrator.models.ready.entry import Entry, Source
from orchestrator.models.ready.find import find_checkpoints
from tests.support.checkpoints import CONFIG, checkpoint, gguf_folder, gguf_text, model
from tests.support.hub_server import StubHub

V, H, INNER = CONFIG["vocab_size"], CONFIG["hidden_size"], CONFIG["intermediate_size"]
F32, Q4_0, Q8_0 = 0, 2, 8
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}


pytestmark = pytest.mark.usefixtures("no_hub_of_the_machine")


@pytest.fixture
def mine(tmp_path):
    return model(checkpoint(tmp_path / "mine"))


def number(key, value):
    return gguf_text(key) + struct.pack("<II", 4, value)


def tokens(*words):
    head = struct.pack("<IIQ", 9, 8, len(words))
    return gguf_text("tokenizer.ggml.tokens") + head + b"".join(map(gguf_text, words))


def quantised(folder, name="m.gguf", file_type=None, kind=F32, metadata=(), **sizes):
    """The path of a GGUF file with the made-up model's sizes, but those in `sizes`."""
    sizes = {"vocabulary": V, "hidden": H, "inner": INNER, "layers": 1, **sizes}
    table = [("token_embd.weight", (sizes["vocabulary"], sizes["hidden"]), F32)]
    for layer in range(sizes["layers"]):
        table.append((f"blk.{layer}.ffn_down.weight", (sizes["hidden"], sizes["inner"]), F32))
        table.append((f"blk.{layer}.other.weight", (2048, 32), kind))
    folder.mkdir(exist_ok=True)
    said = [] if file_type is None else [number("general.file_type", file_type)]
    gguf_folder(folder / name, table, [*said, *metadata])
    return folder / name


def packed(folder, quantization=GPTQ, config=None, beside=None):
    """A checkpoint folder that says it was quantised, in config.json or in the file `beside`."""
    checkpoint(folder, {**(config or {}), **({"quantization_config": quantization} if not beside else {})})
    if beside:
        (folder / beside).write_text(json.dumps(quantization))
    return folder


def find(tmp_path, mine, scheme, said=None, **source):
    entry = Entry("mine", tmp_path / "entry.yaml", {scheme: Source(**source)})
    return find_checkpoints(entry, [scheme], mine, tmp_path / "cache", (said if said is not None else []).append)[
        scheme
    ]


def refusal(tmp_path, mine, scheme, **source):
    with pytest.raises(UserError) as caught:
        find(tmp_path, mine, scheme, **source)
    message, head = str(caught.value), f"{tmp_path / 'entry.yaml'}: ready.{scheme}: "
    assert "\n" not in message
    assert message.startswith(head)
    return message.removeprefix(head)


def other_model(tmp_path, mine, scheme, **source):
    found = find(tmp_path, mine, scheme, **source)
    assert isinstance(found, CellError)
    assert found.outcome == "unsupported"
    assert "\n" not in found.reason
    return found.reason


def test_a_gguf_file_stands_where_engines_look_for_it(tmp_path, mine):
    path = quantised(tmp_path / "theirs", file_type=2)
    quantised(tmp_path / "theirs", "another.gguf", file_type=7)
    path.chmod(0o644)
    found = find(tmp_path, mine, "gguf-q4_0", path=path)
    assert (found.scheme, found.source, found.revision) == ("gguf-q4_0", str(path), None)
    assert sorted(each.name for each in found.path.iterdir()) == ["manifest.json", "model.gguf"]
    assert (found.path / "model.gguf").samefile(path)  # a link: nothing was copied
    assert found.digest == manifest.digest(found.files)
    assert list(found.files) == ["m.gguf"]
    assert found.path == tmp_path / "cache" / "ready" / f"gguf-q4_0-{found.digest[:16]}" / "artefact"
    assert json.loads(json.dumps(found.described())) == {
        "scheme": "gguf-q4_0", "source": str(path), "revision": None, "digest": found.digest, "files": found.files,
    }  # fmt: skip


def test_what_only_its_owner_may_read_is_copied_and_stays_as_it_is(tmp_path, mine):
    path = quantised(tmp_path / "theirs", file_type=2)
    path.chmod(0o600)
    said = []
    found = find(tmp_path, mine, "gguf-q4_0", said, path=path)
    assert not (found.path / "model.gguf").samefile(path)
    assert (found.path / "model.gguf").stat().st_mode & 0o777 == 0o644
    assert path.stat().st_mode & 0o777 == 0o600
    assert any(line.startswith("copying m.gguf into the cache") for line in said)


def test_another_file_under_the_same_name_is_another_checkpoint(tmp_path, mine):
    first = find(tmp_path, mine, "gguf-q4_0", path=quantised(tmp_path / "theirs", file_type=2))
    (tmp_path / "theirs" / "m.gguf").unlink()
    changed = quantised(tmp_path / "theirs", file_type=2, metadata=[number("general.quantization_version", 2)])
    second = find(tmp_path, mine, "gguf-q4_0", path=changed)
    assert first.digest != second.digest
    assert first.path != second.path
    assert find(tmp_path, mine, "gguf-q4_0", path=changed) == second


def test_a_laid_out_file_that_was_changed_is_not_used(tmp_path, mine):
    path = quantised(tmp_path / "theirs", file_type=2)
    path.chmod(0o600)  # so that it is copied
    laid_out = find(tmp_path, mine, "gguf-q4_0", path=path).path / "model.gguf"
    laid_out.write_bytes(laid_out.read_bytes()[:-1] + b"x")
    message = refusal(tmp_path, mine, "gguf-q4_0", path=path)
    assert "was changed or damaged" in message
    assert f"delete {laid_out.parent.parent}" in message


@pytest.mark.parametrize(("scheme", "quantization"), [("gptq-int4-g128", GPTQ), ("awq-g128", AWQ)])
@pytest.mark.parametrize("beside", [None, "quantize_config.json"])
def test_a_folder_of_safetensors(tmp_path, mine, scheme, quantization, beside):
    folder = packed(tmp_path / "theirs", quantization, beside=beside)
    (folder / "README.md").write_text("not loaded")
    found = find(tmp_path, mine, scheme, path=folder)
    names = {"config.json", "model.safetensors", "manifest.json", *filter(None, [beside])}
    assert {each.name for each in found.path.iterdir()} == names
    assert manifest.read(found.path) == found.files


def test_a_converted_artefact_is_a_ready_made_one_too(tmp_path, mine):
    path = quantised(tmp_path / "artefact", "model.gguf", file_type=2)
    (path.parent / "manifest.json").write_text('{"files": {}}')  # as a converter leaves it
    assert find(tmp_path, mine, "gguf-q4_0", path=path.parent).files.keys() == {"model.gguf"}


@pytest.mark.parametrize(("scheme", "kind", "fits"), [
    ("gguf-q4_0", Q4_0, True), ("gguf-q8_0", Q8_0, True), ("gguf-q8_0", Q4_0, False),
])  # fmt: skip
def test_a_gguf_without_a_file_type_is_what_its_layers_are(tmp_path, mine, scheme, kind, fits):
    path = quantised(tmp_path / "theirs", kind=kind)
    if fits:
        assert find(tmp_path, mine, scheme, path=path).scheme == scheme
    else:
        assert refusal(tmp_path, mine, scheme, path=path).startswith(
            f"{path} is not gguf-q8_0: its weights are q4_0, not q8_0"
        )


WRONG = {
    "not quantised": ("gptq-int4-g128", None, "it has no quantization_config in config.json, nor quantize_config.json"),
    "other method": ("awq-g128", GPTQ, "its quantization_config says gptq, not awq"),
    "other bits": ("gptq-int8-g128", GPTQ, "its quantization_config says 4 bits, not 8"),
    "other group": ("gptq-int4-g64", GPTQ, "its quantization_config says group size 128, not 64"),
    "other bpw": ("exl2-4.65bpw", {"quant_method": "exl2", "bits": 4.0}, "its quantization_config says 4.0 bits"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_checkpoint_under_a_wrong_name(tmp_path, mine, name):
    scheme, quantization, message = WRONG[name]
    folder = packed(tmp_path / "theirs", quantization) if quantization else checkpoint(tmp_path / "theirs")
    assert refusal(tmp_path, mine, scheme, path=folder).startswith(f"{folder} is not {scheme}: {message}")


def test_a_gguf_of_another_type(tmp_path, mine):
    path = quantised(tmp_path / "theirs", file_type=14)
    expected = f"{path} is not gguf-q4_k_m: its weights are q4_k_s, not q4_k_m; name it as what it is"
    assert refusal(tmp_path, mine, "gguf-q4_k_m", path=path) == expected


def test_a_damaged_gguf(tmp_path, mine):
    path = quantised(tmp_path / "theirs", file_type=2)
    path.write_bytes(path.read_bytes()[:-500])
    assert refusal(tmp_path, mine, "gguf-q4_0", path=path).startswith("m.gguf is truncated: ")


@pytest.mark.parametrize("by_folder", [False, True])
def test_a_gguf_of_which_git_lfs_left_a_pointer(tmp_path, mine, by_folder):
    path = quantised(tmp_path / "theirs", file_type=2)
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 18360384\n")
    message = refusal(tmp_path, mine, "gguf-q4_0", path=path.parent if by_folder else path)
    assert message == f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder"


def test_a_folder_of_several_gguf_files(tmp_path, mine):
    quantised(tmp_path / "theirs", file_type=2)
    quantised(tmp_path / "theirs", "other.gguf", file_type=2)
    expected = f"{tmp_path / 'theirs'} holds 2 *.gguf files: name one of them as path"
    assert refusal(tmp_path, mine, "gguf-q4_0", path=tmp_path / "theirs") == expected


def test_a_pickle_is_not_loaded(tmp_path, mine):
    folder = packed(tmp_path / "theirs")
    (folder / "pytorch_model.bin").write_bytes(b"")
    assert "is a pickle file" in refusal(tmp_path, mine, "gptq-int4-g128", path=folder)


@pytest.mark.parametrize(("sizes", "message"), [
    ({"vocabulary": 96}, "it has vocab_size 96, mine has 64"),
    ({"hidden": 16}, "it has hidden_size 16, mine has 8"),
    ({"inner": 24}, "it has intermediate_size 24, mine has 16"),
    ({"layers": 2}, "it has num_hidden_layers 2, mine has 1"),
])  # fmt: skip
def test_a_gguf_of_another_model(tmp_path, mine, sizes, message):
    reason = other_model(tmp_path, mine, "gguf-q4_0", path=quantised(tmp_path / "theirs", file_type=2, **sizes))
    assert reason.endswith(f"is no checkpoint of mine: {message}")


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
def test_a_folder_of_another_model(tmp_path, mine, key):
    folder = packed(tmp_path / "theirs", config={key: 2 * CONFIG[key]})
    reason = other_model(tmp_path, mine, "gptq-int4-g128", path=folder)
    assert reason.endswith(f"it has {key} {2 * CONFIG[key]}, mine has {CONFIG[key]}")


def vocabulary(folder, words):
    known = {word: index for index, word in enumerate(words)}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": known}}))


def test_another_tokenizer(tmp_path, mine):
    words = [f"w{index}" for index in range(V)]
    vocabulary(mine.path, words)
    same = quantised(tmp_path / "theirs", file_type=2, metadata=[tokens(*words)])
    assert find(tmp_path, mine, "gguf-q4_0", path=same).scheme == "gguf-q4_0"
    other = quantised(tmp_path / "theirs", "o.gguf", file_type=2, metadata=[tokens("w1", "w0", *words[2:])])
    reason = other_model(tmp_path, mine, "gguf-q4_0", path=other)
    assert reason.endswith("its tokenizer is another one: token 0 is 'w1' there and 'w0' here (2 of 64 differ)")
    folder = packed(tmp_path / "packed")
    vocabulary(folder, words[::-1])
    assert "its tokenizer is another one" in other_model(tmp_path, mine, "gptq-int4-g128", path=folder)


def test_one_file_of_a_hub_repository(tmp_path, mine, monkeypatch):
    content = quantised(tmp_path / "there", file_type=2).read_bytes()
    files = {"a.Q4_0.gguf": content, "b.Q8_0.gguf": b"another", "config.json": b"{}"}
    with StubHub("org/m-GGUF", files) as stub:
        monkeypatch.setenv("HF_ENDPOINT", stub.url)
        found = find(tmp_path, mine, "gguf-q4_0", hub="org/m-GGUF@main", file="a.Q4_0.gguf")
        assert stub.downloads() == ["a.Q4_0.gguf"]
        assert (found.source, found.revision) == ("org/m-GGUF@main a.Q4_0.gguf", stub.commit)
        assert (found.path / "model.gguf").read_bytes() == content
        stub.requests.clear()
        again = find(tmp_path, mine, "gguf-q4_0", hub=f"org/m-GGUF@{stub.commit}", file="a.Q4_0.gguf")
        assert not stub.requests
        assert (again.digest, again.path) == (found.digest, found.path)
        message = refusal(tmp_path, mine, "gguf-q4_0", hub="org/m-GGUF@main", file="a.q4_0.guff.gguf")
        assert message.startswith("unknown file of org/m-GGUF 'a.q4_0.guff.gguf': did you mean 'a.Q4_0.gguf'?")


def test_a_gguf_of_the_hub_that_is_none(tmp_path, mine, monkeypatch):
    with StubHub("org/m-GGUF", {"a.gguf": b"<html>"}) as stub:
        monkeypatch.setenv("HF_ENDPOINT", stub.url)
        message = refusal(tmp_path, mine, "gguf-q4_0", hub="org/m-GGUF@main", file="a.gguf")
        assert message == "org/m-GGUF: a.gguf is no GGUF file"


def test_a_hub_repository_of_safetensors(tmp_path, mine, monkeypatch):
    folder = packed(tmp_path / "there", AWQ, beside="quant_config.json")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with StubHub("org/m-AWQ", files) as stub:
        monkeypatch.setenv("HF_ENDPOINT", stub.url)
        found = find(tmp_path, mine, "awq-g128", hub="org/m-AWQ@main")
        assert found.revision == stub.commit
        assert set(found.files) == set(files)


def test_a_hub_that_does_not_answer_costs_the_cells_of_that_scheme_only(tmp_path, mine, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    here = quantised(tmp_path / "theirs", file_type=2)
    entry = Entry("mine", tmp_path / "entry.yaml", {
        "awq-g128": Source(hub="org/m@main"), "gguf-q4_0": Source(path=here), "gguf-q8_0": Source(path=here),
    })  # fmt: skip
    found = find_checkpoints(entry, ["awq-g128", "gguf-q4_0", "awq-g128"], mine, tmp_path / "cache", lambda _: None)
    assert found["awq-g128"].outcome == "fetch_failed"
    assert found["gguf-q4_0"].scheme == "gguf-q4_0"
    assert len(found) == 2  # nobody asked for the third
