"""What converters share: the calibration text, and a tokenizer for a model that has none."""

import json

import numpy as np
import pytest
from made_up import checkpoint
from tokenizers import Tokenizer

from common.convert.calibration_text import SOURCE, samples
from common.convert.tokenizer import with_tokenizer
from common.tools.logits import log_softmax


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


def test_log_probabilities_sum_to_one_however_large_the_logits():
    values = log_softmax(np.array([[0.0, 1.0, 2.0], [1e4, 1e4, -1e4]], np.float32))
    assert np.exp(values).sum(axis=1) == pytest.approx([1, 1])
    assert values[1, 0] == pytest.approx(np.log(0.5))
