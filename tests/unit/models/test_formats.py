"""Small real files of every format, and files that lie."""

import json
import os
import struct
from math import prod
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from orchestrator.base.paths import ROOT
from orchestrator.judge.step_bytes import step_bytes
from orchestrator.models.formats import gguf
from orchestrator.models.formats.binary import Tensor, UnreadableArtefact
from orchestrator.models.formats.tensor_list import read_artefact
from tests.support.checkpoints import CONFIG, checkpoint, gguf_folder
from tests.support.checkpoints import gguf_text as text

V, H = CONFIG["vocab_size"], CONFIG["hidden_size"]
F32, F16, Q8_0, Q4_K = 0, 1, 8, 12


def refusal(directory: Path) -> str:
    """The one line with which `directory` is refused."""
    with pytest.raises(UnreadableArtefact) as caught:
        read_artefact(directory)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) <= 400
    return message


def sizes(directory: Path) -> dict[str, int]:
    return {tensor.name: tensor.nbytes for tensor in read_artefact(directory)}


def row(name: str, nbytes: int, shape=(V, H), dtype="x", file="model.safetensors") -> Tensor:
    return Tensor(name, shape, dtype, nbytes, file)


# safetensors


def test_the_bundled_model_is_read_whole():
    folder = ROOT / "orchestrator" / "models" / "tiny"
    found = read_artefact(folder)
    parameters = sum(prod(tensor.shape) for tensor in found)
    step = step_bytes(found, json.loads((folder / "config.json").read_text()))
    assert (step.read, step.total, step.tied) == (2 * parameters, 2 * parameters, True)
    assert step.embedding == 2 * 4096 * 512
    assert step.source == f"safetensors headers, {len(found)} tensors"


def test_a_separate_head_leaves_the_embedding_out(tmp_path):
    folder = checkpoint(tmp_path / "m")
    step = step_bytes(read_artefact(folder), CONFIG)
    assert step.total == 4 * (V * H + H + 16 * H + V * H)
    assert step.embedding == 4 * V * H
    assert step.read == step.total - step.embedding
    assert not step.tied


def test_a_stored_head_counts_as_untied_whatever_the_config_says(tmp_path):
    folder = checkpoint(tmp_path / "m", {"tie_word_embeddings": True})
    assert not step_bytes(read_artefact(folder), {**CONFIG, "tie_word_embeddings": True}).tied


def test_packed_integers_are_the_bytes_that_they_are(tmp_path):
    save_file(
        {
            "model.embed_tokens.weight": np.ones((V, H), np.float16), "lm_head.weight": np.ones((V, H), np.float16),
            "model.layers.0.mlp.up_proj.qweight": np.ones((H // 8, 16), np.int32),
            "model.layers.0.mlp.up_proj.qzeros": np.ones((1, 2), np.int32),
            "model.layers.0.mlp.up_proj.scales": np.ones((1, 16), np.float16),
        },
        tmp_path / "model.safetensors",
    )  # fmt: skip
    step = step_bytes(read_artefact(tmp_path), CONFIG)
    assert step.read == 2 * V * H + 4 * 16 + 4 * 2 + 2 * 16
    assert step.embedding == 2 * V * H


def test_the_index_says_which_files_count(tmp_path):
    stored = {"a": "model.embed_tokens.weight", "b": "lm_head.weight", "consolidated": "output.weight"}
    for name, tensor in stored.items():
        save_file({tensor: np.ones((V, H), np.float32)}, tmp_path / f"{name}.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    places = {"model.embed_tokens.weight": "a.safetensors", "lm_head.weight": "b.safetensors"}
    index.write_text(json.dumps({"weight_map": places}))
    assert {tensor.file for tensor in read_artefact(tmp_path)} == {"a.safetensors", "b.safetensors"}
    index.write_text(json.dumps({"weight_map": {"x": "../m/c.safetensors"}}))
    assert refusal(tmp_path) == "../m/c.safetensors is missing"
    (tmp_path.parent / "outside.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes())
    index.write_text(json.dumps({"weight_map": {"x": "../outside.safetensors"}}))
    assert refusal(tmp_path) == "../outside.safetensors lies outside the artefact"
    index.write_text("[" * 100_000)
    assert refusal(tmp_path).startswith("model.safetensors.index.json is not valid JSON")


def header(folder: Path, entries, data=b"", length=None) -> Path:
    raw = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", length or len(raw)) + raw + data)
    return folder


@pytest.mark.parametrize(
    ("entries", "data", "length", "said"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234", None, "is truncated"),
        ({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"12345678", None, "which [3] F32 are not"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"12345678", None, "where 0 is expected"),
        ({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"12345678", None, "cannot be"),
        ({"a": {"dtype": "F32", "shape": [1] * 99, "data_offsets": [0, 4]}}, b"1234", None, "cannot be"),
        ({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, b"1234", None, "cannot be"),
        ({"a": {"dtype": 7, "shape": [1], "data_offsets": [0, 4]}}, b"1234", None, "cannot be"),
        ({"a\n\x1b[2J": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}}, b"1234", None, "'a\\n\\x1b[2J'"),
        ({"a": {"data_offsets": [0, 10**4300 - 1]}}, b"", None, "unreadable"),  # too long a number to be printed
        (b"[" * 100_000, b"", None, "unreadable"),
        (b"[]", b"", None, "unreadable"),
        (b"{}", b"", 2**63, "not believed"),
        (b"{}", b"", 1000, "truncated"),
    ],
)
def test_safetensors_that_lie(tmp_path, entries, data, length, said):
    message = refusal(header(tmp_path, entries, data, length))
    assert message.startswith("model.safetensors ")
    assert said in message


def test_tensors_that_share_bytes_are_refused(tmp_path):
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    assert "is expected" in refusal(header(tmp_path, {"a": entry, "b": entry}, b"1234"))


# GGUF


METADATA = [
    text("general.architecture") + struct.pack("<I", 8) + text("llama"),
    text("llama.block_count") + struct.pack("<II", 4, 1),
    text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + text("a") + text("b") + text(""),
    text("tokenizer.ggml.scores") + struct.pack("<IIQ3f", 9, 6, 3, 0.0, 1.0, 2.0),
    text("flag") + struct.pack("<IB", 7, 1),
]
EMBEDDED = ("token_embd.weight", (V, 256), Q8_0)
NORM = ("output_norm.weight", (256,), F32)
GATE = ("blk.0.ffn_gate.weight", (512, 256), Q4_K)
OUTPUT = ("output.weight", (V, 256), F16)


@pytest.mark.parametrize("version", [2, 3])
def test_gguf_untied(tmp_path, version):
    folder = gguf_folder(tmp_path / "model.gguf", [OUTPUT, EMBEDDED, NORM, GATE], METADATA, version=version)
    found = read_artefact(folder)
    assert found[1] == Tensor("token_embd.weight", (V, 256), "Q8_0", V * 8 * 34, "model.gguf")
    assert found[3] == Tensor("blk.0.ffn_gate.weight", (512, 256), "Q4_K", 512 * 144, "model.gguf")
    step = step_bytes(found, CONFIG)
    assert not step.tied
    assert step.embedding == V * 8 * 34
    assert step.read == 2 * V * 256 + 4 * 256 + 512 * 144
    assert step.source == "GGUF tensor table, 4 tensors"


def test_gguf_tied_and_aligned_otherwise(tmp_path):
    metadata = [*METADATA, text("general.alignment") + struct.pack("<II", 4, 64)]
    folder = gguf_folder(tmp_path / "model.gguf", [EMBEDDED, NORM, GATE], metadata, alignment=64)
    step = step_bytes(read_artefact(folder), CONFIG)
    assert step.tied
    assert step.read == step.total == V * 8 * 34 + 4 * 256 + 512 * 144


def test_gguf_types_are_those_of_llama_cpp():
    """Bits a weight, as llama.cpp's own documentation gives them (tools/quantize/README.md and the pull requests)."""
    bits = {name: 8 * size / block for name, block, size in gguf.TYPES.values()}
    assert bits["Q4_0"] == bits["Q4_K"] == bits["IQ4_NL"] == 4.5
    assert (bits["Q8_0"], bits["Q6_K"], bits["Q5_K"], bits["Q3_K"], bits["Q2_K"]) == (8.5, 6.5625, 5.5, 3.4375, 2.625)
    assert (bits["IQ4_XS"], bits["IQ2_XXS"], bits["IQ1_S"], bits["IQ1_M"]) == (4.25, 2.0625, 1.5625, 1.75)
    assert (bits["TQ1_0"], bits["TQ2_0"], bits["MXFP4"]) == (1.6875, 2.0625, 4.25)


def test_gguf_in_parts(tmp_path):
    gguf_folder(tmp_path / "m-00001-of-00002.gguf", [EMBEDDED])
    assert refusal(tmp_path) == "m-00001-of-00002.gguf is one of 2 parts, of which 1 are here"
    gguf_folder(tmp_path / "m-00002-of-00002.gguf", [OUTPUT])
    assert list(sizes(tmp_path)) == ["token_embd.weight", "output.weight"]
    gguf_folder(tmp_path / "other.gguf", [EMBEDDED])
    assert "one of 3 models" in refusal(tmp_path)


def test_every_cut_of_a_gguf_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    gguf_folder(path, [NORM, ("token_embd.weight", (4, 32), Q8_0)], METADATA)
    whole = path.read_bytes()
    needed = len(whole) - 24  # the padding after the last tensor is not needed: 136 of 160 bytes
    assert len(read_artefact(tmp_path)) == 2
    for length in [*range(0, needed - 1100, 7), needed - 1]:
        path.write_bytes(whole[:length])
        assert refusal(tmp_path).startswith("model.gguf ")


def strings(count: int) -> bytes:
    return text("k") + struct.pack("<IIQ", 9, 8, count)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"counts": (2**63, 0)}, "not believed"),
        ({"counts": (1, 2**63)}, "not believed"),
        ({"version": 1}, "version 1"),
        ({"version": 0x03000000}, "version"),
        ({"metadata": [strings(2**60)]}, "not believed"),
        ({"metadata": [strings(3_000_000)]}, "truncated"),
        ({"metadata": [text("k") + struct.pack("<IIQ", 9, 10, 2**63)]}, "truncated"),
        ({"metadata": [text("k") + struct.pack("<IIQ", 9, 9, 1)]}, "unknown type 9"),
        ({"metadata": [text("k") + struct.pack("<I", 99)]}, "unknown type 99"),
        ({"metadata": [struct.pack("<Q", 2**62)]}, "a name of"),
        ({"metadata": [struct.pack("<Q", 2) + b"\xff\xff"]}, "no UTF-8"),
        ({"metadata": [text("general.alignment") + struct.pack("<II", 4, 0)]}, "aligned to 0"),
        ({"metadata": [text("general.alignment") + struct.pack("<II", 4, 2**31)]}, "aligned to"),
        ({"table": [EMBEDDED, EMBEDDED]}, "twice"),
        ({"table": [("a", (1,) * 5, F32)]}, "dimensions"),
        ({"table": [("a", (4, 33), Q8_0)]}, "do not divide"),
        ({"table": [("a", (), Q8_0)]}, "do not divide its rows of 1"),
        ({"data": False}, "is truncated"),
    ],
)
def test_gguf_that_lies(tmp_path, arguments, said):
    message = refusal(gguf_folder(tmp_path / "model.gguf", **{"table": [EMBEDDED], **arguments}))
    assert message.startswith("model.gguf ")
    assert said in message


def test_gguf_tensors_of_unknown_size_and_place(tmp_path):
    path = tmp_path / "model.gguf"
    for kind, shape, offset, said in [
        (77, (1,), 0, "unknown type 77"), (F32, (2**63,) * 4, 0, "truncated"), (F32, (1,), 64, "expected"),
    ]:  # fmt: skip
        info = text("a") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + info + bytes(256))
        assert said in refusal(tmp_path)


# CTranslate2


def short(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def made_ctranslate2(folder: Path, variables: list[tuple], aliases=(), version=6, counts=None) -> Path:
    """A model.bin of `variables` (name, shape, dtype's number, width), as CTranslate2's model_spec.py writes it."""
    many, few = counts or (len(variables), len(aliases))
    raw = struct.pack("<I", version) + short("TransformerSpec") + struct.pack("<II", 8, many)
    for name, shape, kind, width in variables:
        size = prod(shape) * width
        raw += short(name) + struct.pack(f"<B{len(shape)}IBI", len(shape), *shape, kind, size) + bytes(size)
    raw += struct.pack("<I", few) + b"".join(short(alias) + short(name) for alias, name in aliases)
    (folder / "model.bin").write_bytes(raw)
    return folder


INT8 = [
    ("decoder/embeddings/weight", (V, H), 1, 1), ("decoder/embeddings/weight_scale", (V,), 0, 4),
    ("decoder/layer_0/ffn/linear_0/weight", (16, H), 1, 1), ("decoder/layer_0/ffn/linear_0/weight_scale", (16,), 0, 4),
    ("decoder/layer_norm/gamma", (H,), 4, 2), ("decoder/num_heads", (), 2, 2),
]  # fmt: skip
REST = 16 * H + 4 * 16 + 2 * H + 2


def test_ctranslate2_tied_by_alias(tmp_path):
    folder = made_ctranslate2(tmp_path, INT8, [("decoder/projection/weight", "decoder/embeddings/weight")])
    found = read_artefact(folder)
    assert found[0] == Tensor("decoder/embeddings/weight", (V, H), "int8", V * H, "model.bin")
    step = step_bytes(found, CONFIG)
    assert step.tied
    assert step.embedding == V * H + 4 * V
    assert step.read == step.total == V * H + 4 * V + REST
    assert step.source == "CTranslate2 variables, 6 tensors"


def test_ctranslate2_untied_with_a_position_table(tmp_path):
    head = [("decoder/projection/weight", (V, H), 1, 1), ("decoder/projection/weight_scale", (V,), 0, 4)]
    table = [("decoder/position_encodings/encodings", (32, H), 0, 4)]
    step = step_bytes(read_artefact(made_ctranslate2(tmp_path, [*INT8, *head, *table])), CONFIG)
    assert not step.tied
    assert step.embedding == V * H + 4 * V
    assert step.total == 2 * (V * H + 4 * V) + REST + 4 * 32 * H
    assert step.read == V * H + 4 * V + REST


def test_every_cut_of_a_model_bin_is_refused(tmp_path):
    made_ctranslate2(tmp_path, INT8[-3:], [("a", "b")])
    whole = (tmp_path / "model.bin").read_bytes()
    for length in range(0, len(whole), 3):
        (tmp_path / "model.bin").write_bytes(whole[:length])
        assert refusal(tmp_path).startswith("model.bin ")
    (tmp_path / "model.bin").write_bytes(whole + b"x")
    assert "too long" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"version": 0x04034B50}, "no CTranslate2 model"),  # a zip, as pickles are
        ({"counts": (2**32 - 1, 0)}, "not believed"),
        ({"counts": (1, 2**32 - 1)}, "not believed"),
        ({"variables": [("a", (2,), 9, 4)]}, "unknown type 9"),
        ({"variables": [("a", (2,), 0, 2)]}, "which [2] float32 are not"),
        ({"variables": [("a", (1,) * 200, 0, 4)]}, "dimensions"),
        ({"variables": [("a", (1,), 0, 4)] * 2}, "twice"),
    ],
)
def test_model_bin_that_lies(tmp_path, arguments, said):
    message = refusal(made_ctranslate2(tmp_path, **{"variables": [("a", (1,), 0, 4)], **arguments}))
    assert message.startswith("model.bin ")
    assert said in message


# ONNX


@pytest.fixture
def onnx():
    return pytest.importorskip("onnx", reason="the package onnx is not installed")


def made_onnx(onnx, folder: Path, arrays: dict, nodes=(), name="model.onnx", external=True) -> Path:
    made = [onnx.numpy_helper.from_array(array, key) for key, array in arrays.items()]
    graph = onnx.helper.make_graph(list(nodes), "g", [], [], made)
    options = {"save_as_external_data": True, "location": "model.onnx.data", "size_threshold": 0} if external else {}
    onnx.save_model(onnx.helper.make_model(graph), folder / name, **options)
    return folder


def ones(shape, dtype=np.float32):
    return np.ones(shape, dtype)


LAYER = "model.layers.0.mlp.up_proj.MatMul.weight_Q4"


@pytest.mark.parametrize("external", [True, False])
def test_onnx_untied(tmp_path, onnx, external):
    arrays = {
        "model.embed_tokens.weight": ones((V, H)), "lm_head.MatMul.weight_Q4": ones((V, 1, 4), np.uint8),
        "lm_head.MatMul.weight_scales": ones((V,)), LAYER: ones((16, 1, 4), np.uint8),
        "cos_cache": ones((32, 4)), "sin_cache": ones((32, 4)),
    }  # fmt: skip
    constant = onnx.helper.make_node("Constant", [], ["/two"], value=onnx.numpy_helper.from_array(ones((2,))))
    found = read_artefact(made_onnx(onnx, tmp_path, arrays, [constant], external=external))
    assert found[0] == Tensor("model.embed_tokens.weight", (V, H), "float", 4 * V * H, "model.onnx")
    step = step_bytes(found, CONFIG)
    assert not step.tied
    assert step.embedding == 4 * V * H
    assert step.read == V * 4 + 4 * V + 16 * 4 + 2 * 4
    assert step.total == step.read + step.embedding + 2 * 4 * 32 * 4
    assert step.source == "ONNX initializers, 7 tensors"


def test_onnx_quantised_companions_of_the_embedding(tmp_path, onnx):
    arrays = {
        "model.embed_tokens.weight_quantized": ones((V, H), np.uint8),
        "model.embed_tokens.weight_scale": ones((V,)), "model.embed_tokens.weight_zero_point": ones((V,), np.uint8),
        "model.norm.weight": ones((H,)),
    }  # fmt: skip
    step = step_bytes(read_artefact(made_onnx(onnx, tmp_path, arrays)), CONFIG)
    assert step.tied
    assert step.embedding == V * H + 4 * V + V
    assert step.read == step.total == step.embedding + 4 * H


def test_onnx_head_without_a_name_is_known_by_its_shape(tmp_path, onnx):
    arrays = {"model.embed_tokens.weight": ones((V, H)), "onnx::MatMul_9": ones((H, V)), "up": ones((H, 16))}
    step = step_bytes(read_artefact(made_onnx(onnx, tmp_path, arrays)), CONFIG)
    assert not step.tied
    assert step.read == 4 * H * V + 4 * H * 16


def test_onnx_tied_quantised_matrix_under_the_heads_name(tmp_path, onnx):
    arrays = {"lm_head.MatMul.weight_Q4G32": ones((V, 1, 4), np.uint8), "lm_head.MatMul.weight_scale": ones((V,)),
              "model.norm.weight": ones((H,))}  # fmt: skip
    step = step_bytes(read_artefact(made_onnx(onnx, tmp_path, arrays)), CONFIG)
    assert step.tied
    assert step.embedding == 8 * V
    assert step.read == step.total == 8 * V + 4 * H


def test_onnx_text_and_branches_count_as_what_they_are(tmp_path, onnx):
    helper, types = onnx.helper, onnx.TensorProto
    branch = helper.make_graph([], "b", [], [], [onnx.numpy_helper.from_array(ones((5,)), "inner")])
    node = helper.make_node("If", ["c"], ["o"], then_branch=branch, else_branch=branch)
    vocabulary = helper.make_tensor("vocabulary", types.STRING, [2], [b"abc", b"de"])
    packed = helper.make_tensor("nibbles", types.INT4, [3], [1, 2, 3])
    embedding = onnx.numpy_helper.from_array(ones((V, H)), "model.embed_tokens.weight")
    graph = helper.make_graph([node], "g", [], [], [vocabulary, packed, embedding])
    onnx.save_model(helper.make_model(graph), tmp_path / "model.onnx")
    found = read_artefact(tmp_path)
    assert [(tensor.name, tensor.nbytes) for tensor in found] == [
        ("vocabulary", 5), ("nibbles", 2), ("model.embed_tokens.weight", 4 * V * H), ("inner", 20), ("inner", 20),
    ]  # fmt: skip
    step = step_bytes(found, CONFIG)
    assert step.read == step.total - 5 == 2 + 4 * V * H + 40


def test_onnx_which_graph(tmp_path, onnx):
    arrays = {"model.embed_tokens.weight": ones((V, H))}
    made_onnx(onnx, tmp_path, arrays, external=False)
    made_onnx(onnx, tmp_path, {"a": ones((1,))}, name="other.onnx", external=False)
    assert "one of 2 graphs" in refusal(tmp_path)
    (tmp_path / "genai_config.json").write_text(json.dumps({"model": {"decoder": {"filename": "model.onnx"}}}))
    assert list(sizes(tmp_path)) == ["model.embed_tokens.weight"]
    (tmp_path / "genai_config.json").write_text(json.dumps({"model": []}))
    assert refusal(tmp_path) == "genai_config.json names no decoder file"


def test_onnx_external_data_that_lies(tmp_path, onnx):
    made_onnx(onnx, tmp_path, {"model.embed_tokens.weight": ones((V, H))})
    path = tmp_path / "model.onnx"
    good = path.read_bytes()
    data = (tmp_path / "model.onnx.data").read_bytes()

    def changed(**facts):
        model = onnx.load(str(path), load_external_data=False)
        tensor = model.graph.initializer[0]
        for entry in tensor.external_data:
            entry.value = facts.get(entry.key, entry.value)
        path.write_bytes(model.SerializeToString())
        message = refusal(tmp_path)
        path.write_bytes(good)
        return message

    assert changed(location="/etc/passwd") == "/etc/passwd lies outside the artefact"
    assert changed(location="gone") == "gone is missing"
    assert "lies outside" in changed(location="")
    assert "truncated" in changed(offset=str(2**62))
    assert "truncated" in changed(offset="-4")
    assert "cannot be" in changed(offset="x")
    assert "but its shape and type" in changed(length=str(2**62))
    (tmp_path / "model.onnx.data").write_bytes(data[:-1])
    assert refusal(tmp_path).startswith("model.onnx.data is truncated")


def test_onnx_graphs_that_lie(tmp_path, onnx):
    types = onnx.TensorProto
    path = tmp_path / "model.onnx"

    def refused(**fields):
        tensor = types(name="a", **fields)
        path.write_bytes(onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor])).SerializeToString())
        return refusal(tmp_path)

    assert "which [2] float are not" in refused(dims=[2], data_type=1, raw_data=b"1234")
    assert "0 numbers, where" in refused(dims=[2**62, 2**62], data_type=1)
    assert "cannot be" in refused(dims=[-1], data_type=1)
    assert "cannot be" in refused(dims=[1] * 99, data_type=1)
    assert "unknown type 0" in refused(dims=[1], data_type=0)
    assert "unknown type 999" in refused(dims=[1], data_type=999)
    path.write_bytes(b"\xff" * 100)
    assert refusal(tmp_path) == "model.onnx is no ONNX graph"


# what is there, and what a step reads of it


def test_no_model_several_models_and_links(tmp_path):
    assert refusal(tmp_path).endswith("has no file of a known format: one model is expected")
    assert refusal(tmp_path / "gone").startswith("gone has no file")
    gguf_folder(tmp_path / "model.gguf", [EMBEDDED])
    made_ctranslate2(tmp_path, INT8)
    assert "GGUF tensor table and CTranslate2 variables" in refusal(tmp_path)
    (tmp_path / "model.bin").unlink()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "model.gguf").symlink_to(tmp_path / "model.gguf")
    assert refusal(tmp_path / "in") == "model.gguf lies outside the artefact"
    (tmp_path / "in" / "model.gguf").unlink()
    os.mkfifo(tmp_path / "in" / "model.gguf")
    assert refusal(tmp_path / "in") == "model.gguf is not a plain file"


@pytest.mark.parametrize(
    ("embedding", "head"),
    [
        ("model.embed_tokens.weight", "lm_head.weight"), ("transformer.wte.weight", "lm_head.weight"),
        ("gpt_neox.embed_in.weight", "embed_out.weight"), ("transformer.word_embeddings.weight", "lm_head.weight"),
        ("model.tok_embeddings.weight", "output.weight"), ("token_embd.weight", "output.weight"),
        ("model.embed_tokens.weight_packed", "lm_head.weight_packed"), ("embed_tokens.weight", "lm_head.q_weight"),
        ("backbone.embeddings.weight", "lm_head.qweight"), ("wte.weight", "lm_head.trellis"),
    ],
)  # fmt: skip
def test_names(embedding, head):
    others = ["output_norm.weight", "blk.0.attn_output.weight", "word_embeddings_layernorm.weight", "lm_head.bias",
              "model.layers.0.mlp.up_proj.weight", "token_embd_norm.weight"]  # fmt: skip
    rows = [row(embedding, 1000), *(row(name, 1) for name in others)]
    step = step_bytes(rows, CONFIG)
    assert (step.tied, step.embedding, step.read) == (True, 1000, 1000 + len(others))
    step = step_bytes([*rows, row(head, 500)], CONFIG)
    assert (step.tied, step.embedding, step.read) == (False, 1000, 500 + len(others))


@pytest.mark.parametrize(
    "name",
    ["model.layers.0.self_attn.rotary_emb.inv_freq", "transformer.wpe.weight", "model.decoder.embed_positions.weight",
     "position_embd.weight", "rope_freqs.weight", "transformer.h.0.attn.bias", "per_layer_token_embd.weight"],
)  # fmt: skip
def test_tables_are_looked_up_even_where_the_head_is_tied(name):
    step = step_bytes([row("wte.weight", 100), row("h.0.mlp.c_fc.weight", 10), row(name, 5, (1, 1, 8, 8))], CONFIG)
    assert (step.tied, step.total, step.embedding, step.read) == (True, 115, 100, 110)


def test_an_unknown_embedding_is_not_guessed():
    with pytest.raises(
        UnreadableArtefact, match=r"model\.safetensors has no tensor that is known as the input embedding"
    ):
        step_bytes([row("lm_head.weight", 100), row("something.else", 100)], CONFIG)
    with pytest.raises(UnreadableArtefact, match="no tensors"):
        step_bytes([], CONFIG)
