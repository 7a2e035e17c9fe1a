import json
import multiprocessing
import os
import stat
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from safetensors import safe_open

from orchestrator.base import files, progress
from orchestrator.base.errors import UserError
from orchestrator.models import checkpoint, manifest
from orchestrator.models.resolve import resolve
from orchestrator.models.synthetic import generate, shapes

SMALL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
}


def quiet(_: str) -> None:
    pass


@pytest.fixture
def small_shapes(tmp_path, monkeypatch):
    file = tmp_path / "shapes.yaml"
    file.write_text(
        yaml.safe_dump({"small": {"config": SMALL}, "small-bf16": {"config": SMALL | {"torch_dtype": "bfloat16"}}})
    )
    monkeypatch.setattr(shapes, "FILE", file)
    return file


def load(folder: Path) -> dict[str, np.ndarray]:
    """All tensors of a float32 or float16 checkpoint, read by the safetensors library."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "numpy") as file:
            assert file.metadata() == {"format": "pt"}
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    return found


@pytest.mark.parametrize("shape", shapes.names())
def test_a_shape_has_as_many_parameters_as_the_published_model(shape):
    assert shapes.parameters(shapes.config(shape)) == shapes.published_parameters(shape)


def test_llama_160m_is_162_million_parameters():
    """Not 134 million, which is what an intermediate size of 2048 gives."""
    assert shapes.parameters(shapes.config("llama-160m")) == 162_417_408


def test_tensor_shapes_by_hand():
    llama = shapes.tensors(shapes.config("llama-3.2-1b"))
    assert llama["model.layers.15.self_attn.k_proj.weight"] == (512, 2048)
    assert llama["model.layers.0.mlp.down_proj.weight"] == (2048, 8192)
    assert "lm_head.weight" not in llama  # tied
    qwen = shapes.tensors(shapes.config("qwen2.5-0.5b"))
    assert qwen["model.layers.0.self_attn.k_proj.bias"] == (128,)
    assert "model.layers.0.self_attn.o_proj.bias" not in qwen
    with pytest.raises(UserError, match="mamba"):
        shapes.tensors(SMALL | {"model_type": "mamba"})


def test_tensor_shapes_of_the_small_architectures():
    gemma, phi3, qwen2 = (shapes.tensors(shapes.config(f"arch-{name}")) for name in ("gemma", "phi3", "qwen2"))
    assert gemma["model.layers.1.self_attn.q_proj.weight"] == (512, 256)  # heads x head_dim is not the width
    assert gemma["model.layers.1.self_attn.v_proj.weight"] == (64, 256) and "lm_head.weight" not in gemma
    assert phi3["model.layers.0.self_attn.qkv_proj.weight"] == (512, 256)  # 8 + 2 x 4 heads of 32
    assert phi3["model.layers.0.mlp.gate_up_proj.weight"] == (1536, 256)
    assert "model.layers.0.mlp.up_proj.weight" not in phi3
    assert qwen2["model.layers.0.self_attn.q_proj.bias"] == (256,) and "lm_head.weight" not in qwen2


@pytest.mark.parametrize("name", shapes.architectures())
def test_an_architecture_has_sizes_that_quantisers_take_and_a_name(name):
    config = shapes.config(name)
    assert all(config[size] % 256 == 0 for size in ("hidden_size", "intermediate_size", "vocab_size"))
    assert shapes.architecture_of(config) == name.removeprefix("arch-")


def test_a_published_config_has_an_architecture():
    assert shapes.architecture_of(shapes.config("llama-3.2-1b")) == "llama3"
    assert shapes.architecture_of(shapes.config("qwen2.5-0.5b")) == "qwen2"


def test_config_speaks_to_transformers_4_and_5():
    config = shapes.config("llama-3.1-8b")
    assert config["dtype"] == config["torch_dtype"] == "bfloat16"
    assert config["rope_parameters"] == config["rope_scaling"] | {"rope_theta": 500000.0}
    assert shapes.config("llama-2-7b")["rope_parameters"] == {"rope_type": "default", "rope_theta": 10000.0}


def test_a_synthetic_model_is_whole_and_loadable(tmp_path, small_shapes):
    model = resolve("synthetic:small", tmp_path, say=quiet)
    assert (model.name, model.synthetic, model.config["hidden_size"]) == ("synthetic:small", True, 64)
    tensors = load(model.path)
    assert {name: value.shape for name, value in tensors.items()} == shapes.tensors(SMALL)
    assert (tensors["model.layers.1.input_layernorm.weight"] == 1).all()
    assert abs(tensors["lm_head.weight"].std() - 0.02) < 0.001
    assert not np.array_equal(tensors["lm_head.weight"], tensors["model.embed_tokens.weight"])
    assert not list(model.path.glob("tokenizer*"))


def test_bfloat16_weights_are_the_rounded_float32_weights(tmp_path, small_shapes):
    exact = load(resolve("synthetic:small", tmp_path, say=quiet).path)["lm_head.weight"]
    folder = resolve("synthetic:small-bf16", tmp_path, say=quiet).path
    path = folder / "model.safetensors"
    entry = checkpoint.read_header(path)["lm_head.weight"]
    assert entry["dtype"] == "BF16"
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    begin, end = (start + offset for offset in entry["data_offsets"])
    values = (np.frombuffer(data[begin:end], np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(320, 64)
    assert np.allclose(values, exact, rtol=2**-8, atol=0)
    assert begin % 8 == 0


def test_weights_do_not_depend_on_shards_blocks_or_other_tensors(tmp_path, monkeypatch):
    def made(name: str, config: dict, **options: int) -> dict[str, np.ndarray]:
        (tmp_path / name).mkdir()
        generate.generate(config, tmp_path / name, quiet, **options)
        checkpoint.validate(tmp_path / name)
        return load(tmp_path / name)

    one = made("one", SMALL)
    many = made("many", SMALL, shard_bytes=30_000)
    monkeypatch.setattr(generate, "BLOCK", 160)
    shorter = made("shorter", SMALL | {"num_hidden_layers": 1})
    assert [path.name for path in (tmp_path / "one").glob("*.safetensors")] == ["model.safetensors"]
    assert len(list((tmp_path / "many").glob("model-*-of-*.safetensors"))) > 3
    assert all(np.array_equal(one[name], many[name]) for name in one)
    assert all(np.array_equal(one[name], shorter[name]) for name in shorter)


def test_shards_stay_under_the_limit_except_for_one_tensor(tmp_path):
    generate.generate(SMALL, tmp_path, quiet, shard_bytes=30_000)
    index = json.loads((tmp_path / checkpoint.INDEX).read_text())
    assert index["metadata"]["total_size"] == shapes.parameters(SMALL) * 4
    assert set(index["weight_map"]) == set(shapes.tensors(SMALL))
    for path in tmp_path.glob("*.safetensors"):
        header = checkpoint.read_header(path)
        assert len(header) == 1 or max(tensor["data_offsets"][1] for tensor in header.values()) <= 30_000


def test_the_digest_is_reproducible_and_depends_on_the_seed(tmp_path, small_shapes):
    first = resolve("synthetic:small", tmp_path / "a", say=quiet)
    again = resolve("synthetic:small", tmp_path / "b", say=quiet)
    assert first.digest == again.digest
    seeded = generate.ensure("small", tmp_path / "a", quiet, seed=1)
    assert seeded != first.path
    assert manifest.digest(manifest.read(seeded)) != first.digest


def test_a_damaged_cache_is_noticed_before_use(tmp_path, small_shapes):
    model = resolve("synthetic:small", tmp_path, say=quiet)
    path = model.path / "model.safetensors"
    flip_last_bit(path)
    with pytest.raises(UserError) as error:
        resolve("synthetic:small", tmp_path, say=quiet)
    assert str(path) in str(error.value)
    assert model.manifest["model.safetensors"] in str(error.value)
    assert f"delete {model.path}" in str(error.value)


def test_a_synthetic_model_given_by_path_is_still_stamped(tmp_path, small_shapes):
    made = resolve("synthetic:small", tmp_path, say=quiet)
    by_path = resolve(str(made.path), tmp_path, say=quiet)
    assert by_path.synthetic
    assert by_path.digest == made.digest


def test_too_little_disk_is_said_with_numbers(tmp_path, small_shapes, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**29))
    with pytest.raises(UserError, match=r"0\.0 GiB .* needed, 0\.5 GiB free"):
        resolve("synthetic:small", tmp_path, say=quiet)
    assert not [path for path in (tmp_path / "models").rglob("*") if "small" in path.name and path.is_dir()]


def test_nothing_partial_is_visible_after_a_failure(tmp_path, small_shapes, monkeypatch):
    monkeypatch.setattr(manifest, "write", fail)
    with pytest.raises(RuntimeError):
        resolve("synthetic:small", tmp_path, say=quiet)
    assert not [path for path in (tmp_path / "models" / "synthetic").iterdir() if path.is_dir()]


def test_two_processes_make_it_once(tmp_path, small_shapes):
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    both = [context.Process(target=slow_resolve, args=(tmp_path, log)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(30)
        assert process.exitcode == 0
    lines = log.read_text().splitlines()
    assert sum(line.startswith("generating small") for line in lines) == 1
    assert sum("another process is generating small" in line for line in lines) == 1
    assert len({line for line in lines if line.startswith("digest")}) == 1


def test_other_users_can_read_it_whatever_the_umask(tmp_path, small_shapes):
    before = os.umask(0o077)
    try:
        folder = resolve("synthetic:small", tmp_path, say=quiet).path
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}


def test_progress_is_said_now_and_then(tmp_path, small_shapes, monkeypatch):
    monkeypatch.setattr(progress, "SAY_EVERY_S", 0.0)
    monkeypatch.setattr(generate, "BLOCK", 1600)
    lines = []
    resolve("synthetic:small", tmp_path, say=lines.append)
    assert any("50%" in line or "51%" in line for line in lines)
    assert all("\n" not in line for line in lines)


def slow_resolve(cache: Path, log: Path) -> None:
    """Runs in a child process. Generates slowly enough for the other one to come meanwhile."""

    def say(line: str) -> None:
        with log.open("a") as handle:
            handle.write(line + "\n")

    write = manifest.write
    manifest.write = lambda *args: (time.sleep(0.5), write(*args))
    say(f"digest {resolve('synthetic:small', cache, say=say).digest}")


def fail(*_: object) -> None:
    raise RuntimeError("stopped")


def flip_last_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
