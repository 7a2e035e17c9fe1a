"""The gates, on engines that lie and on engines that do not."""

import pytest

from orchestrator.judge.gates import tokens
from orchestrator.judge.gates.precision import precision_proof
from orchestrator.models.dimensions import ParameterCounts, indivisible
from tests.support.checkpoints import TIED, WEIGHTS, checkpoint
from tests.support.results_directory import loaded, sample

LLAMA_7B = ParameterCounts(6_738_415_616, 131_072_000, 131_072_000, 6_476_005_376, 266_240)


def proof(precision, weights=WEIGHTS, **changes):
    return precision_proof(precision, loaded(**changes), weights)


@pytest.mark.parametrize(("dtype", "each"), [("float32", 4), ("float16", 2), ("bfloat16", 2)])
def test_sound_float_engines_pass(dtype, each):
    assert proof(dtype, dtype=dtype, weight_bytes=1000 * each) == "pass"
    # norms in float32, a tied embedding once and twice
    assert proof(dtype, dtype=dtype, weight_bytes=980 * each + 20 * 4) == "pass"
    assert proof(dtype, TIED, dtype=dtype, weight_bytes=900 * each) == "pass"
    assert proof(dtype, TIED, dtype=dtype, weight_bytes=1000 * each) == "pass"


def test_an_untied_head_is_not_held_twice():
    assert proof("float32", weight_bytes=1100 * 4).startswith("fail")


@pytest.mark.parametrize(("label", "dtype"), [("float32", "float16"), ("float16", "bfloat16"), ("bfloat16", "float32")])
def test_another_dtype_than_the_label_s_fails(label, dtype):
    told = proof(label, dtype=dtype, weight_bytes=4000)
    assert told == f"fail: labelled {label}, but the engine loaded {dtype} weights"


def test_half_precision_bytes_under_a_float32_label_fail():
    told = proof("float32", weight_bytes=2000)
    assert told.startswith("fail: labelled float32: 1000 parameters should take ")
    assert "but the engine loaded" in told


def test_twice_the_bytes_fail():
    assert proof("float16", dtype="float16", weight_bytes=4000).startswith("fail")


def test_quantised_weights_under_a_float_label_fail():
    told = proof("float16", dtype="float16", quantization="q8_0", weight_bytes=2000)
    assert told == "fail: labelled float16, but the engine loaded q8_0 weights"


def test_unquantised_weights_labelled_int8_fail():
    told = proof("int8", dtype="bfloat16", weight_bytes=2000)
    assert told == "fail: labelled int8, but the engine loaded unquantised bfloat16 weights"


@pytest.mark.parametrize(("precision", "weight_bytes"), [
    ("int8", 1000),  # everything, scales in place
    ("int8", 780 + 200 * 4 + 20 * 4),  # only the layers' matrices; embedding and head in float32
    ("int8", 780 * 1.0625 + 200 * 2 + 20 * 4),  # q8_0 blocks, embedding and head in half precision
    ("int4", 500), ("int4", 1000 * 0.5625), ("int4", 780 * 0.61 + 200 * 0.82 + 80), ("int4", 780 * 0.75 + 880),
])  # fmt: skip
def test_sound_quantisers_pass(precision, weight_bytes):
    assert proof(precision, quantization="some", weight_bytes=int(weight_bytes)) == "pass"


@pytest.mark.parametrize(("precision", "weight_bytes"), [
    ("int8", 500), ("int8", 2000), ("int8", 4000), ("int4", 400), ("int4", 1700), ("int4", 4000),
])  # fmt: skip
def test_a_quantised_label_with_other_bytes_fails(precision, weight_bytes):
    assert proof(precision, quantization="some", weight_bytes=weight_bytes).startswith(f"fail: labelled {precision}")


def test_an_int4_label_on_int8_weights_fails():
    assert proof("int4", LLAMA_7B, quantization="int8", weight_bytes=LLAMA_7B.parameters).startswith("fail")
    assert proof("int8", LLAMA_7B, quantization="int8", weight_bytes=LLAMA_7B.parameters) == "pass"


def test_a_tied_embedding_may_be_quantised_and_kept():
    assert proof("int8", TIED, quantization="some", weight_bytes=780 + 2 * 100 * 4 + 20 * 4) == "pass"


# -- token audit -------------------------------------------------------------------------------------------------------


def test_the_audit_passes_what_was_asked_for():
    assert tokens.token_audit([sample(0, batch=2), sample(1, batch=2)], 2, 3) == "pass"
    assert tokens.token_audit([sample(steps_ns=[0, 5, 5])], 1, 3) == "pass"


@pytest.mark.parametrize(("bad", "message"), [
    (sample(4, steps_ns=[1, 2]), "fail: samples.jsonl line 2 holds 2 steps, 3 were asked for"),
    (sample(4, steps_ns=[1, 2, 3, 4]), "fail: samples.jsonl line 2 holds 4 steps, 3 were asked for"),
    (sample(4, ids=[[1], [2]]), "fail: samples.jsonl line 2 holds 2 steps, 3 were asked for"),
    (sample(4, ids=[[1], [], [3]]), "fail: samples.jsonl line 2 has a step without 1 tokens"),
    (sample(4, batch=2), "fail: samples.jsonl line 2 has a step without 1 tokens"),
    (sample(4, steps_ns=[10, 30, 20]), "fail: samples.jsonl line 2: step times run backwards"),
    (sample(4, steps_ns=[-1, 30, 40]), "fail: samples.jsonl line 2: step times run backwards"),
])  # fmt: skip
def test_the_audit_names_the_line(bad, message):
    assert tokens.token_audit([sample(0), bad], 1, 3) == message


# -- counting a checkpoint ---------------------------------------------------------------------------------------------


def test_parameters_are_counted_from_the_checkpoint(tmp_path):
    counted = ParameterCounts.of(checkpoint(tmp_path / "m"))
    assert counted == ParameterCounts(64 * 8 * 2 + 16 * 8 + 8, 64 * 8, 64 * 8, 16 * 8, 8)


@pytest.mark.parametrize(("config", "multiple", "expected"), [
    ({"hidden_size": 1024, "intermediate_size": 2048}, 256, None),
    ({"hidden_size": 896, "intermediate_size": 4864}, 256, "hidden_size 896"),
    ({"hidden_size": 896, "intermediate_size": 4864}, 32, None),
    ({"hidden_size": 1024, "intermediate_size": 2048, "num_attention_heads": 4, "head_dim": 72}, 256,
     "attention width 288"),
    ({}, 256, None),
])  # fmt: skip
def test_the_first_indivisible_dimension_is_named(config, multiple, expected):
    assert indivisible(config, multiple) == expected


@pytest.mark.parametrize("scheme", ["CompressedTensorsW8A8Fp8", "FP8", "float8_e4m3fn"])
def test_float8_is_told_from_int8_by_its_name_alone(scheme):
    assert proof("float8", quantization=scheme, weight_bytes=1000) == "pass"
    assert proof("int8", quantization=scheme, weight_bytes=1000) == (
        f"fail: labelled int8, but the engine loaded {scheme} weights"
    )


def test_float8_label_on_other_weights_fails():
    assert proof("float8", quantization="W8A8 int8", weight_bytes=1000).startswith("fail: labelled float8, but")
    assert proof("float8", dtype="bfloat16", weight_bytes=2000).startswith("fail: labelled float8, but")
    assert "should take" in proof("float8", quantization="FP8", weight_bytes=500)
