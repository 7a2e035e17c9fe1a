"""What a step must read, what a prefill computes, and what a KV cache needs, against values worked out by hand."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from orchestrator.judge import traffic
from orchestrator.judge.traffic import step_traffic
from orchestrator.models import dimensions
from tests.support.checkpoints import CONFIG, TIED, WEIGHTS
from tests.support.results_directory import job, loaded, probe

GQA = {"num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64, "hidden_size": 512}


def test_kv_bytes():
    assert dimensions.bytes_per_token(GQA, "float16") == 2 * 3 * 4 * 64 * 2
    assert dimensions.bytes_per_token(GQA, "float32") == 2 * 3 * 4 * 64 * 4
    assert dimensions.bytes_per_token(GQA, "float16, float32") == dimensions.bytes_per_token(GQA, "float16")
    assert dimensions.bytes_per_token({**GQA, "head_dim": None}, "float16") == 2 * 3 * 4 * 64 * 2  # 512 / 8
    assert dimensions.bytes_per_token({**GQA, "num_key_value_heads": None}, "float16") == 2 * 3 * 8 * 64 * 2
    assert dimensions.needed(GQA, "float16", 2, 128, 128) == 3072 * 2 * 255
    assert dimensions.read_per_step(GQA, "float16", 2, 128, 128) == 3072 * 2 * 192


@pytest.mark.parametrize(
    ("config", "dtype"), [(GQA, None), (GQA, "exotic"), ({"num_hidden_layers": 3}, "float16"), ({}, None)]
)
def test_an_unknown_cache_is_none(config, dtype):
    assert dimensions.bytes_per_token(config, dtype) is None
    assert dimensions.needed(config, dtype, 1, 1, 1) is None
    assert dimensions.read_per_step(config, dtype, 1, 1, 1) is None


def reads(weights=WEIGHTS, artefact=None, **changes):
    return traffic.step_reads(loaded(**changes), weights, CONFIG, job(), artefact)


def test_the_input_embedding_is_not_read():
    assert reads(weight_bytes=4000).weights == 4000 - 100 * 4
    assert reads(weight_bytes=2000, dtype="float16").weights == 2000 - 100 * 2


def test_a_tied_embedding_is_the_head_and_is_read_once():
    assert reads(TIED, weight_bytes=900 * 4).weights == 900 * 4
    assert reads(TIED, weight_bytes=1000 * 4).weights == 900 * 4  # held twice


def test_the_cache_is_part_of_a_step():
    """2 x 1 layer x 2 heads x 4 x 2 bytes x (4 + 3 / 2) tokens."""
    found = reads(weight_bytes=4000, kv_dtype="float16")
    assert found.kv == 32 * 5.5 and found.total == 3600 + 32 * 5.5
    assert reads(weight_bytes=4000).total == 3600


def artefact(folder, rows):
    folder.mkdir()
    shapes = {"model.embed_tokens": 64, "lm_head": 64, "model.layers.0.mlp.up_proj": rows}
    tensors = {f"{name}.weight": np.ones((rows, 8), np.float32) for name, rows in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_a_converted_artefact_s_own_table_counts_where_it_is_smaller(tmp_path):
    table = artefact(tmp_path / "small", 16)
    found = reads(artefact=table, weight_bytes=100_000)
    assert found.weights == (64 * 8 + 16 * 8) * 4 and "safetensors" in found.source.lower()
    assert reads(artefact=table, weight_bytes=4000).weights == 4000 - 64 * 8 * 4  # the engine's own word is smaller


def test_a_quantised_embedding_is_left_out_at_its_own_size(tmp_path):
    """At the 4 bytes of the engine's dtype half of the weights of a q8_0 file were once left out."""
    table = artefact(tmp_path / "q", 16)
    held = (64 * 8 + 64 * 8 + 16 * 8) * 4
    found = reads(artefact=table, weight_bytes=held, quantization="q8_0", dtype="float32")
    assert found.weights == held - 64 * 8 * 4


def test_an_unreadable_table_falls_back_and_says_so(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF but no more")
    found = reads(artefact=tmp_path, weight_bytes=4000)
    assert found.weights == 3600 and "model.gguf" in found.source


def test_traffic_of_a_launch():
    found = step_traffic(
        reads(weight_bytes=4000), [90.0, 100.0, 110.0], 2, {"before": probe(5.0, 64), "after": probe(10.0, 64)}
    )
    assert (found.step_bytes, found.steps_per_s, found.bandwidth, found.cache_bytes) == (3600, 50, (5e9, 10e9), 64)
    several = step_traffic(reads(weight_bytes=4000), [100.0], 1, {"before": probe(5.0), "after": None}, devices=2)
    assert several.bandwidth == (10e9,)
    assert step_traffic(reads(weight_bytes=4000), [], 1, {}) is None


def test_prefill_operations():
    """2 x 780 weights x 4 tokens, 4 x 1 layer x 8 wide x 10 pairs, 2 x 100 of the head; twice."""
    assert traffic.prefill_flops(WEIGHTS, CONFIG, 2, 4) == 2 * (2 * 780 * 4 + 4 * 8 * 10 + 200)
    assert traffic.prefill_flops(TIED, CONFIG, 2, 4) == 2 * (2 * 780 * 4 + 4 * 8 * 10 + 200)
