"""What converters share: the calibration text, and a tokenizer for a model that has none."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from common.contract import Shape
from common.convert.calibration_text import SOURCE, samples
from common.convert.safetensors_file import read_header, stored_dtype, tensor_bytes
from common.convert.tokenizer import require_text, with_tokenizer
from common.engine import Unsupported
from common.tools.logits import log_softmax
from common.tools.sizes import cached_tokens, kv_token_bytes
from tests.support.checkpoints import checkpoint


def test_calibration_samples_are_spread_over_the_text(tmp_path):
    path = checkpoint(tmp_path / "model", tokenizer=True)
    rows, source = samples(path, 4, 100)
    assert source == SOURCE
    assert [len(row) for row in rows] == [100] * 4
    assert len({tuple(row) for row in rows}) == 4
    assert rows == samples(path, 4, 100)[0]


def test_a_model_without_tokenizer_is_calibrated_with_ids_of_its_own_vocabulary(tmp_path):
    rows, source = samples(checkpoint(tmp_path / "model"), 3, 50)
    assert source == "random ids, seed 0"
    assert np.shape(rows) == (3, 50)
    assert np.min(rows) >= 0 and np.max(rows) < 64


def test_a_text_that_is_too_short_is_refused(tmp_path):
    with pytest.raises(ValueError, match="too few for 10000000 samples of 256"):
        samples(checkpoint(tmp_path / "model", tokenizer=True), 10_000_000, 256)


def test_a_stand_in_tokenizer_leaves_the_checkpoint_as_it_is(tmp_path):
    path = checkpoint(tmp_path / "model")
    before = sorted(each.name for each in path.iterdir())
    with with_tokenizer(path) as complete:
        assert Tokenizer.from_file(str(complete / "tokenizer.json")).get_vocab_size() == 1
        assert json.loads((complete / "config.json").read_text())["vocab_size"] == 64
        assert (complete / "model.safetensors").read_bytes() == (path / "model.safetensors").read_bytes()
    assert sorted(each.name for each in path.iterdir()) == before
    assert not complete.exists()


def test_a_model_s_own_tokenizer_is_kept(tmp_path):
    path = checkpoint(tmp_path / "model", tokenizer=True)
    with with_tokenizer(path) as complete:
        assert complete == path


def test_a_tokenizer_configuration_without_vocabulary_is_not_written_through(tmp_path):
    path = checkpoint(tmp_path / "model")
    (path / "tokenizer_config.json").write_text("{}")
    with with_tokenizer(path) as complete:
        assert "PreTrainedTokenizerFast" in (complete / "tokenizer_config.json").read_text()
    assert (path / "tokenizer_config.json").read_text() == "{}"


def test_a_scheme_that_needs_text_says_so(tmp_path):
    require_text(checkpoint(tmp_path / "with", tokenizer=True), "EXL2")
    with pytest.raises(Unsupported, match="EXL2 is calibrated with text"):
        require_text(checkpoint(tmp_path / "without"), "EXL2")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_header_of_a_safetensors_file(tmp_path, dtype):
    tensors = {"matrix": np.ones((3, 5), dtype), "vector": np.ones(7, dtype), "other": np.ones(1, np.int8)}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    assert read_header(tmp_path / "model.safetensors").keys() == tensors.keys()
    assert tensor_bytes(tmp_path / "model.safetensors") == sum(tensor.nbytes for tensor in tensors.values())
    assert stored_dtype(tmp_path) == {4: "F32", 2: "F16"}[np.dtype(dtype).itemsize]


def test_the_keys_and_values_of_a_token():
    config = {"num_hidden_layers": 3, "num_attention_heads": 8, "hidden_size": 64}
    assert kv_token_bytes(config, "float32") == 2 * 3 * 64 * 4
    assert kv_token_bytes({**config, "num_key_value_heads": 2}, "bfloat16") == 2 * 3 * 2 * 8 * 2
    for key in ("head_dim", "head_size"):
        assert kv_token_bytes({**config, key: 16}, "float16") == 2 * 3 * 8 * 16 * 2
    assert cached_tokens(Shape(1, prompt_tokens=10, new_tokens=4)) == 13


def test_log_probabilities_sum_to_one_however_large_the_logits():
    values = log_softmax(np.array([[0.0, 1.0, 2.0], [1e4, 1e4, -1e4]], np.float32))
    assert np.exp(values).sum(axis=1) == pytest.approx([1, 1])
    assert values[1, 0] == pytest.approx(np.log(0.5))
