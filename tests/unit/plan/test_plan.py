"""Which cells a request means, which of them cannot run, and in which order the others do."""

from collections import Counter

import pytest

from orchestrator.base.errors import UserError
from orchestrator.plan import profiles, support
from orchestrator.plan.cells import Cell, Shape, order, select_cells
from orchestrator.plan.engine import Support, select_engines
from tests.support.checkpoints import CONFIG
from tests.support.contenders import cell, engine, variant

SHAPES = [Shape(1, 8, 4), Shape(2, 8, 4)]


@pytest.fixture
def two():
    alpha = engine("alpha", [
        variant("float32"), variant("compile", default=False), variant("int8", precision="int8"),
        variant("q4", precision="int4", default=False),
    ])  # fmt: skip
    return [alpha, engine("beta", [variant("float32"), variant("q8", precision="int8")])]


def names(cells):
    return [f"{each.engine.name}-{each.variant.name}" for each in cells]


@pytest.mark.parametrize(("precisions", "variants", "expected"), [
    (None, None, ["alpha-float32", "alpha-int8", "beta-float32", "beta-q8"]),
    ("all", "default", ["alpha-float32", "alpha-int8", "beta-float32", "beta-q8"]),
    ("int8", None, ["alpha-int8", "beta-q8"]),
    ("int8, float32", None, ["alpha-float32", "alpha-int8", "beta-float32", "beta-q8"]),
    (None, "all", ["alpha-float32", "alpha-compile", "alpha-int8", "alpha-q4", "beta-float32", "beta-q8"]),
    ("int4", "all", ["alpha-q4"]),
    (None, "compile,q8", ["alpha-compile", "beta-q8"]),
    ("float32", "compile,q8", ["alpha-compile"]),
    (None, "default,compile", ["alpha-float32", "alpha-compile", "alpha-int8", "beta-float32", "beta-q8"]),
    ("all,int8", None, ["alpha-float32", "alpha-int8", "beta-float32", "beta-q8"]),
])  # fmt: skip
def test_selection(two, precisions, variants, expected):
    assert names(select_cells(two, precisions, variants, SHAPES[:1])) == expected


def test_every_shape_is_a_cell_of_its_own(two):
    cells = select_cells(two, "int8", None, SHAPES)
    assert [each.label for each in cells] == [
        "alpha-int8-b1-p8-n4", "alpha-int8-b2-p8-n4", "beta-q8-b1-p8-n4", "beta-q8-b2-p8-n4",
    ]  # fmt: skip


@pytest.mark.parametrize(("precisions", "variants", "message"), [
    ("flaot32", None, "unknown precision 'flaot32': did you mean 'float32'? valid: float32, all, bfloat16"),
    ("int8,fp4", None, "unknown precision 'fp4': "),
    (None, "compiled", "unknown variant 'compiled': did you mean 'compile'? valid: compile, all, default, "),
    ("int8", "compile,nf4", "unknown variant 'nf4': "),
])  # fmt: skip
def test_unknown_names_are_refused_closest_first(two, precisions, variants, message):
    with pytest.raises(UserError) as caught:
        select_cells(two, precisions, variants, SHAPES)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_request_that_leaves_nothing_says_so(two):
    with pytest.raises(UserError, match=r"no variant of beta matches --precisions int4 --variants default; .*list"):
        select_cells(two[1:], "int4", None, SHAPES)


# -- what cannot run ---------------------------------------------------------------------------------------------------


def test_what_can_run_is_not_held_back():
    assert support.unsupported(cell(row_multiple=8), "cpu", CONFIG) is None


def test_the_variant_s_own_word_comes_first():
    word = Support("unsupported", "no such kernel", "https://example.org/1")
    assert support.unsupported(cell(devices={"cpu": word}, row_multiple=3), "cpu", CONFIG) is word


def test_a_device_without_entry():
    assert "no rocm entry" in support.unsupported(cell(), "rocm", CONFIG).note


def test_an_engine_without_batch_runs_batch_one_only():
    alone = engine(capabilities={"streams": True, "logprobs": True, "batch": False})
    single, double = (Cell(alone, alone.variants["float32"], shape) for shape in SHAPES)
    assert support.unsupported(single, "cpu", CONFIG) is None
    assert support.unsupported(double, "cpu", CONFIG) == Support("unsupported", "Alpha runs batch size 1 only")


@pytest.mark.parametrize(("config", "named"), [
    ({"hidden_size": 896, "intermediate_size": 4864}, "hidden_size 896"),
    ({"hidden_size": 1024, "intermediate_size": 5000}, "intermediate_size 5000"),
    ({"hidden_size": 1024, "intermediate_size": 256, "head_dim": 100, "num_attention_heads": 8}, "attention width 800"),
])  # fmt: skip
def test_a_size_that_does_not_fit_the_scheme_is_named(config, named):
    made = cell(name="alpha", row_multiple=256, scheme="q4_k_m")
    found = support.unsupported(made, "cpu", {**CONFIG, "head_dim": None, **config})
    assert found == Support("unsupported", f"q4_k_m needs weight rows divisible by 256: {named}")


# -- order -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(two):
    return select_cells(two, None, "all", SHAPES)


def test_every_block_is_complete(many):
    sequence = order(many, 5, seed=1)
    assert [block for block, _ in sequence] == [block for block in range(5) for _ in many]
    for block in range(5):
        labels = Counter(each.label for number, each in sequence if number == block)
        assert labels == Counter(each.label for each in many)


def test_the_order_is_reproduced_by_its_seed_and_by_nothing_else(many):
    def labels(seed, launches=5):
        return [each.label for _, each in order(many, launches, seed)]

    assert labels(1) == labels(1)
    assert labels(1) != labels(2)
    assert labels(1, launches=2) == labels(1)[: 2 * len(many)]  # more launches change nothing before them


def test_no_block_is_like_another_or_like_the_request(many):
    sequence = order(many, 6, seed=3)
    blocks = {tuple(each.label for number, each in sequence if number == block) for block in range(6)}
    assert len(blocks) == 6
    assert tuple(each.label for each in many) not in blocks


def test_nobody_is_always_first(many):
    first = Counter(order(many, 1, seed)[0][1].label for seed in range(1200))
    assert set(first) == {each.label for each in many}
    assert max(first.values()) < 2 * 1200 / len(many)


def test_the_profiles_are_those_of_the_design():
    sizes = {name: (each.launches, each.repetitions, each.is_measurement) for name, each in profiles.PROFILES.items()}
    assert sizes == {"quick": (1, 3, False), "standard": (5, 5, True), "publish": (10, 5, True)}
    assert profiles.WARMUP == {"min": 3, "max": 10, "span": 0.05, "max_s": 20}


def test_an_architecture_that_the_folder_rules_out_is_unsupported_before_anything_is_built():
    lacking = Support("unsupported", "no scaled embeddings", "https://example.org")
    picky = engine(architectures={"gemma": lacking})
    one = Cell(picky, next(iter(picky.variants.values())), Shape(1, 8, 8))
    assert support.unsupported(one, "cpu", {"model_type": "gemma"}) is lacking
    assert support.unsupported(one, "cpu", {"model_type": "llama"}) is None


WRONG = {"gemma": Support("wrong", "no window", beyond="sliding_window"), "phi3": Support("wrong", "no scale")}


@pytest.mark.parametrize(
    ("config", "measured"),
    [
        ({"model_type": "gemma", "sliding_window": 16}, True),
        ({"model_type": "gemma", "sliding_window": 15}, False),
        ({"model_type": "gemma", "sliding_window": None}, True),
        ({"model_type": "gemma"}, True),
        ({"model_type": "gemma", "sliding_window": "long"}, False),
        ({"model_type": "phi3", "sliding_window": 16}, False),
    ],
)
def test_what_an_engine_computes_wrongly_is_not_measured(config, measured):
    made = engine(architectures=WRONG)
    one = Cell(made, next(iter(made.variants.values())), Shape(1, 8, 8))
    told = support.unsupported(one, "cpu", config)
    assert told is (None if measured else WRONG[config["model_type"]])
    assert support.caveat(one, config) is WRONG[config["model_type"]]


# -- what a model's own numbers rule out -------------------------------------------------------------------------------


@pytest.mark.parametrize(("config", "named"), [
    ({"hidden_size": 132, "num_attention_heads": 1}, "hidden_size 132"),
    ({"intermediate_size": 100}, "intermediate_size 100"),
    ({"num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 4, "hidden_size": 64}, "key and value width 4"),
])  # fmt: skip
def test_numbers_of_rows_that_do_not_fit_the_scheme_are_named(config, named):
    made = cell(name="alpha", column_multiple=8, scheme="q")
    told = support.unsupported(made, "cpu", {**CONFIG, **config})
    assert told == Support("unsupported", f"q needs numbers of weight rows divisible by 8: {named}")
    assert support.unsupported(cell(row_multiple=4, scheme="q"), "cpu", {**CONFIG, **config}) is None


def test_any_number_of_the_config_can_be_required():
    made = cell(requires={"vocab_size": 8, "sliding_window": 2}, scheme="q")
    assert support.unsupported(made, "cpu", CONFIG) is None
    told = support.unsupported(made, "cpu", {**CONFIG, "vocab_size": 257})
    assert told.note == "q needs vocab_size divisible by 8: vocab_size 257"


@pytest.mark.parametrize(("config", "told"), [
    ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "high_freq_factor": 4.0}},
     "config.json's rope_scaling is of type llama3 and lacks low_freq_factor, original_max_position_embeddings"),
    ({"rope_scaling": {"type": "linear"}}, "config.json's rope_scaling is of type linear and lacks factor"),
    ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}},
     "config.json's rope_parameters is of type yarn and lacks factor"),
    ({"rope_scaling": {"factor": 2.0}}, "config.json's rope_scaling names no rope_type"),
])  # fmt: skip
def test_a_missing_rope_field_is_named(config, told):
    assert support.unsupported(cell(), "cpu", {**CONFIG, **config}) == Support("unsupported", told)


@pytest.mark.parametrize("config", [
    {"rope_scaling": None}, {"rope_scaling": {}}, {"rope_parameters": {"rope_theta": 1e4}},
    {"rope_scaling": {"rope_type": "longrope", "short_factor": [1], "long_factor": [2]}},
    {"rope_scaling": {"type": "linear", "factor": 2.0}}, {"rope_scaling": {"rope_type": "of next year"}},
    {"rope_parameters": {"full_attention": {"rope_type": "default"}}},
])  # fmt: skip
def test_whole_rope_fields_and_unknown_kinds_are_tried(config):
    assert support.unsupported(cell(), "cpu", {**CONFIG, **config}) is None


@pytest.mark.parametrize(("wanted", "has", "runs"), [
    (">=8.9", "8.6", False), (">=8.9", "8.9", True), (">=8.9", "10.0", True), (">=8.9", None, True),
    ("<10.0", "9.0", True), ("<10.0", "10.0", False), ("<10.0", "12.1", False),
])  # fmt: skip
def test_a_gpu_of_another_generation_is_refused(wanted, has, runs):
    told = support.unsupported(
        cell(compute_capability=wanted, scheme="q"), "cpu", CONFIG, gpus=[{"compute_capability": has}]
    )
    assert (told is None) is runs
    if told:
        assert told.note == f"q needs a GPU of compute capability {wanted}: this one has {has}"


def test_a_caveat_of_the_model_s_architecture_reaches_its_rows_only():
    window = Support("caveat", "no sliding window")
    careful = engine(architectures={"mistral": window})
    one = Cell(careful, next(iter(careful.variants.values())), Shape(1, 8, 8))
    assert support.caveat(one, {"model_type": "mistral"}) is window
    assert support.unsupported(one, "cpu", {"model_type": "mistral"}) is None
    assert support.caveat(one, {"model_type": "llama"}) is None


def test_a_variant_for_several_gpus_says_how_to_name_them():
    made, one = cell(gpus=2, scheme="tp2"), {"compute_capability": "9.0"}
    told = support.unsupported(made, "cpu", CONFIG, gpus=[one])
    assert told.note == "tp2 takes 2 GPUs, and 1 was chosen: name them with --gpus 0,1"
    assert support.unsupported(made, "cpu", CONFIG, gpus=[one, one]) is None


@pytest.fixture
def ready():
    return engine("alpha", [
        variant("float32"), variant("f16", precision="float16", artefact="f16", ready=("gguf-f16",)),
        variant("q4", precision="int4", artefact="q4", ready=("gguf-q4_0",)), variant("own", precision="int4"),
        variant("made", precision="int4", artefact="made"),
        variant("gptq", precision="int4", ready=("gptq-int4-g128", "gptq-int4-g64"), default=False),
    ])  # fmt: skip


def lacking(engine, name, offered):
    found = support.unsupported(Cell(engine, engine.variants[name], SHAPES[0]), "cpu", CONFIG, offered=offered)
    return found and (found.state, found.note)


ONLY_READY = "nothing here converts a model for it: name a checkpoint of it as gptq-int4-g128 or gptq-int4-g64 in the"


def test_converting_everything_only_those_lack_something_that_nothing_converts_for(ready):
    assert [name for name in ready.variants if lacking(ready, name, None)] == ["gptq"]
    assert lacking(ready, "gptq", None) == (
        "unsupported", f"{ONLY_READY} model's entry and run with --artefacts ready",
    )  # fmt: skip


def test_asked_for_ready_made_ones_a_quantised_variant_is_not_converted_instead(ready):
    assert lacking(ready, "q4", {"gguf-f16"}) == (
        "unsupported", "--artefacts ready: the model's entry names no checkpoint under ready: gguf-q4_0"
    )  # fmt: skip
    assert lacking(ready, "gptq", {"gguf-f16"}) == ("unsupported", f"{ONLY_READY} model's entry")
    assert lacking(ready, "made", {"gguf-f16"})[1].startswith("--artefacts ready: it has no ready-made form")
    for name in ("float32", "f16", "own"):  # unquantised, or quantised by the engine itself as it loads
        assert lacking(ready, name, {"gguf-q4_0"}) is None
    assert lacking(ready, "q4", {"gguf-q4_0"}) is None


def test_the_first_scheme_that_is_offered_is_taken(ready):
    gptq = ready.variants["gptq"]
    assert support.ready_scheme(gptq, {"gptq-int4-g64", "gptq-int4-g128"}) == "gptq-int4-g128"
    assert support.ready_scheme(gptq, {"gptq-int4-g64"}) == "gptq-int4-g64"
    assert support.ready_scheme(gptq, {"gguf-q4_0"}) is None
    assert support.ready_scheme(gptq, None) is None


def test_what_is_offered_is_measured_by_default(ready):
    assert "alpha-gptq" not in names(select_cells([ready], None, None, SHAPES[:1]))
    assert "alpha-gptq" in names(select_cells([ready], None, None, SHAPES[:1], {"gptq-int4-g64"}))
    assert "alpha-gptq" not in names(select_cells([ready], "float32", None, SHAPES[:1], {"gptq-int4-g64"}))


def test_a_package_without_a_checkout_says_so():
    with pytest.raises(UserError, match=r"pip install -e \."):
        select_engines("all", {})
