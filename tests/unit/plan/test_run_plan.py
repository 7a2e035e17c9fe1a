"""The plan of a run: the model is looked at before anything is built, and the shapes are fitted to it."""

import pytest

from orchestrator.base.errors import CellError, UserError
from orchestrator.plan import run_plan
from orchestrator.plan.cells import Shape
from tests.support import in_process_runs
from tests.support.checkpoints import checkpoint, model
from tests.support.contenders import engine

SHAPES = [Shape(1, 8, 6), Shape(2, 8, 6)]


@pytest.fixture
def planned(tmp_path, workspace):
    """The plan that is made for a request with these changes, and what was said of it."""

    def make(positions=None, **changes):
        folder = checkpoint(tmp_path / "model", {"max_position_embeddings": positions}, tokenizer=True)
        request = in_process_runs.plan(model(folder), [engine()], SHAPES, **changes).request
        said = []
        return run_plan.make_plan(request, workspace.cache, said.append), said

    return make


def test_every_contender_is_measured_with_every_shape(planned):
    plan, _ = planned()
    assert [cell.shape for cell in plan.cells] == SHAPES
    assert plan.subject.facts.digest == plan.subject.model.digest
    assert plan.ready_made is None


def test_shapes_have_the_length_that_the_prompt_has(planned):
    plan, _ = planned(prompt="Why?")
    assert [cell.shape for cell in plan.cells] == [Shape(1, 4, 6), Shape(2, 4, 6)]


def test_shapes_that_the_model_cannot_hold_are_the_user_s_to_mend(planned):
    with pytest.raises(UserError, match=r"8 prompt \+ 6 new tokens exceed the 13 positions of model: lower "):
        planned(positions=13)


def test_a_hub_that_does_not_answer_is_no_mistake_of_the_user_s(planned, monkeypatch):
    def refuse(*_, **__):
        raise CellError("fetch_failed", "no answer")

    monkeypatch.setattr(run_plan, "resolve", refuse)
    plan, _ = planned(prompt="Why?")
    assert [cell.shape for cell in plan.cells] == SHAPES
    with pytest.raises(CellError, match="no answer"):
        _ = plan.subject


def test_columns_that_the_profile_leaves_out_are_mentioned(planned):
    said = planned(precisions="float32,int8")[1]
    assert "precisions: float32,int8; --precisions all measures every column" in said
