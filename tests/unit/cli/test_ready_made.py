"""Which ready-made checkpoints the command line looks at before a run."""

import pytest

from orchestrator.cli import run_command
from tests.support.checkpoints import checkpoint

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}


class Started(Exception):
    """Carries the checkpoints that a run would have got, by scheme."""


@pytest.fixture
def checkpoints_for(monkeypatch, call, tmp_path):
    """The schemes of the checkpoints that vLLM on a CPU gets; the model's entry names gptq-int4-g128 alone."""
    checkpoint(tmp_path / "model", tokenizer=True)
    checkpoint(tmp_path / "gptq", {"quantization_config": GPTQ})
    entry = tmp_path / "entry.yaml"
    entry.write_text("model: ./model\nready:\n  gptq-int4-g128: {path: gptq}\n")

    def start(plan, *_):
        raise Started(plan.ready_made)

    monkeypatch.setattr(run_command, "measure", start)

    def schemes(*arguments):
        chosen = ["--engines", "vllm", "--device", "cpu", "--isolation", "venv", "--model", entry]
        with pytest.raises(Started) as caught:
            call(*chosen, "--artefacts", "ready", *arguments)
        return list(caught.value.args[0])

    return schemes


def test_a_checkpoint_that_only_a_variant_without_converter_takes_is_looked_at(checkpoints_for):
    assert checkpoints_for("--variants", "gptq") == ["gptq-int4-g128"]


def test_variants_that_the_entry_has_no_checkpoint_for_are_passed_over(checkpoints_for):
    assert checkpoints_for("--variants", "w8a8,bfloat16") == []


def test_all_default_variants_are_weighed_up(checkpoints_for):
    assert checkpoints_for("--precisions", "all") == ["gptq-int4-g128"]
