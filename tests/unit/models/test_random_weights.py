import hashlib
import sys

import numpy as np
import pytest

from orchestrator.models.synthetic import random_weights


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weights_are_normal_with_std_0_02(dtype):
    drawn = random_weights.normal("w", 0, 0, 1_000_000, dtype)
    values = (drawn.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else drawn.astype(np.float32)
    z = values.astype(np.float64) / 0.02
    assert abs(z.mean()) < 0.005
    assert abs(z.std() - 1) < 0.005
    assert abs((z**4).mean() - 3) < 0.05  # a uniform distribution would have 1.8
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 0.005


def test_a_tensor_does_not_depend_on_how_it_is_cut_into_blocks():
    whole = random_weights.normal("w", 0, 0, 1000, "float32")
    parts = [random_weights.normal("w", 0, first, min(48, 1000 - first), "float32") for first in range(0, 1000, 48)]
    assert np.array_equal(whole, np.concatenate(parts))
    with pytest.raises(ValueError):
        random_weights.normal("w", 0, 8, 8, "float32")


def test_streams_differ_by_tensor_and_seed():
    drawn = [random_weights.normal(name, seed, 0, 64, "float32") for name, seed in [("a", 0), ("b", 0), ("a", 1)]]
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_the_bytes_are_those_of_every_other_machine():
    """Written down once: whoever sees this fail has weights whose digests nobody else can reproduce."""
    assert sys.byteorder == "little"
    bits = random_weights.normal("model.embed_tokens.weight", 0, 0, 4, "float32").view(np.uint32)
    assert [f"{value:08x}" for value in bits] == ["bbd995a7", "bbc9ad07", "bc9a913c", "3ba6290f"]
    bits = random_weights.normal("model.embed_tokens.weight", 0, 0, 4, "bfloat16")
    assert [f"{value:04x}" for value in bits] == ["bbda", "bbca", "bc9b", "3ba6"]


@pytest.mark.parametrize(
    ("dtype", "digest"),
    [("float32", "83552b27c3ffe48a"), ("float16", "b32d8b47480a289b"), ("bfloat16", "f7375aea4103d219")],
)
def test_a_whole_tensor_has_the_bytes_that_it_always_had(dtype, digest):
    """Nearly all quantiles occur in it; published results name the digests of models that were made of them."""
    tensor = random_weights.normal("model.embed_tokens.weight", 0, 0, 1 << 18, dtype)
    drawn = tensor.tobytes() + random_weights.ones(64, dtype).tobytes()
    assert hashlib.sha256(drawn).hexdigest()[:16] == digest
