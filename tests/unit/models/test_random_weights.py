import struct
import sys

import numpy as np
import pytest

from orchestrator.models.synthetic import random_weights


def bfloat16_by_definition(value: float) -> int:
    """Of the two neighbours in bfloat16, the nearer; of two equally near, the even one."""
    low = struct.unpack("<I", struct.pack("<f", value))[0] & 0xFFFF0000
    near = []
    for bits in (low, low + 0x10000):
        exact = struct.unpack("<f", struct.pack("<I", bits))[0]
        near.append((abs(exact - value), (bits >> 16) & 1, bits >> 16))
    return min(near)[2]


def test_bfloat16_rounds_to_nearest_even():
    random = np.random.Generator(np.random.PCG64(1)).standard_normal(2000).astype(np.float32)
    ties = (np.arange(0x3F80_8000, 0x3F90_8000, 0x1_0000, dtype=np.uint32)).view(np.float32)  # exactly half way
    values = np.concatenate([random, ties, -ties, np.float32([0.0, 1.0, -2.5, 3.3e38, 1e-40])])
    assert random_weights.to_bfloat16(values).tolist() == [bfloat16_by_definition(float(value)) for value in values]


def test_bfloat16_keeps_what_is_not_a_number():
    # The payload's low bits alone would be rounded away, and the result would be an infinity.
    values = np.array([0x7F80_0001, 0x7F80_0000, 0xFF80_0000], np.uint32).view(np.float32)
    nan, plus, minus = random_weights.to_bfloat16(values)
    assert nan & 0x7F80 == 0x7F80
    assert nan & 0x007F
    assert (plus, minus) == (0x7F80, 0xFF80)


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
