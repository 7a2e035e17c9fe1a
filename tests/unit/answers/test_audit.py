"""Which published speeds are physically possible, and what is said where that cannot be judged."""

import csv
import json
import re

import pytest
import yaml

from orchestrator.answers.audit.published_table import HARDWARE, as_json, as_table, audit
from orchestrator.base.errors import UserError
from orchestrator.base.paths import ROOT

PUBLISHED = ROOT / "docs" / "published" / "premai-2024-04.csv"
LLAMA, MISTRAL = 6738415616, 7241732096
EMBEDDING = 32000 * 4096
SOUND = {
    "engine": "gpt-fast", "model": "Llama-2-7B", "parameters": LLAMA, "precision": "bfloat16",
    "tokens_per_second": 104.9, "bandwidth_gbs": 2039,
}  # fmt: skip


@pytest.fixture
def judge(tmp_path):
    """Audit one row: SOUND with changes. A value of None leaves the column out."""

    def run(**changes):
        row = {key: value for key, value in {**SOUND, **changes}.items() if value is not None}
        path = tmp_path / "one.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerow(row)
        (found,) = audit(path)
        return found

    return run


def ceiling(row):
    return float(re.search(r"at most ([\d.]+) tokens/s are possible", row["reason"])[1])


def weights(row):
    """The parameters that a float32 row was judged by, from its mbu."""
    steps = float(row["tokens_per_second"])
    return row["mbu"] / 100 * float(row["bandwidth_gbs"]) * 1e9 / steps / 4


def test_exactly_eight_published_cells_are_impossible():
    impossible = {
        (row["model"], row["engine"], row["precision"], row["tokens_per_second"], ceiling(row))
        for row in audit(PUBLISHED)
        if row["verdict"] == "impossible"
    }
    mistral, llama = "Mistral 7B v0.1 Instruct", "Llama 2 7B Chat"
    assert impossible == {
        (mistral, "vllm", "float32", "84.91", 71.7),
        (mistral, "Nvidia TensorRT-LLM", "float32", "117.04", 71.7),
        (mistral, "Nvidia TensorRT-LLM", "float16", "206.59", 143.4),
        (mistral, "Nvidia TensorRT-LLM", "int8", "390.49", 286.8),
        (llama, "vllm", "float32", "89.40", 77.1),
        (llama, "Nvidia TensorRT-LLM", "float32", "104.07", 77.1),
        (llama, "Nvidia TensorRT-LLM", "float16", "191.00", 154.3),
        (llama, "Nvidia TensorRT-LLM", "int8", "316.77", 308.6),
    }


def test_every_published_cell_is_there_and_judged():
    rows = audit(PUBLISHED)
    assert [row["verdict"] for row in rows].count("possible") == 54
    assert len(rows) == 62
    assert len({(row["engine"], row["model"], row["precision"]) for row in rows}) == 62
    assert len({row["engine"] for row in rows}) == 13
    assert all(float(row["memory_mb"]) > 5000 and float(row["std"]) > 0 for row in rows)


def test_the_hardware_of_the_published_cells_has_their_bandwidth(judge):
    assert {(row["hardware"], row["bandwidth_gbs"]) for row in audit(PUBLISHED)} == {("A100 80GB SXM", "2039")}
    assert "of 2039 GB/s" in judge(bandwidth_gbs=None, hardware="A100 80GB SXM")["reason"]


@pytest.mark.parametrize(("precision", "speed", "mbu"), [
    ("bfloat16", 104.9, 67.99), ("int8", 155.6, 50.42), ("int4", 196.8, 31.89),
])  # fmt: skip
def test_gpt_fast_is_possible(judge, precision, speed, mbu):
    row = judge(precision=precision, tokens_per_second=speed)
    assert row["verdict"] == "possible"
    assert row["mbu"] == pytest.approx(mbu, abs=0.01)


def test_the_reason_names_speed_share_bandwidth_ceiling_and_precision(judge):
    row = judge(model="Mistral-7B", parameters=MISTRAL, precision="float32", tokens_per_second="84.91 ± 0.27")
    assert row["reason"] == ("84.91 tokens/s need 118 % of 2039 GB/s: at most 71.7 tokens/s are possible at float32")
    assert row["mbu"] == pytest.approx(100 * 84.91 * 4 * (MISTRAL - EMBEDDING) / 2039e9, abs=1e-5)


def test_exactly_the_ceiling_is_possible(judge):
    at = {"model": "x", "parameters": 10**9, "precision": "int8", "bandwidth_gbs": 700}
    assert judge(**at, tokens_per_second=700)["mbu"] == 100
    assert judge(**at, tokens_per_second=700)["verdict"] == "possible"
    above = judge(**at, tokens_per_second=700.01)
    assert above["verdict"] == "impossible"
    assert "need 100.001429 % of" in above["reason"]


@pytest.mark.parametrize(("precisions", "size"), [
    (("float32", "FP32"), 4),
    (("float16", "bfloat16", "fp16", "BF16", "half"), 2),
    (("int8", "fp8", "q8_0", "Q8_0", "llm-int8", "LLM.int8()"), 1),
    (("q6_k",), 0.75),
    (("int4", "q4_0", "Q4_K_M", "nf4", "fp4", "AWQ", "gptq-4bit"), 0.5),
])  # fmt: skip
def test_bytes_per_weight(judge, precisions, size):
    for precision in precisions:
        row = judge(model="x", parameters=10**9, precision=precision, tokens_per_second=100, bandwidth_gbs=1000)
        assert row["mbu"] == pytest.approx(10 * size), precision


@pytest.mark.parametrize("precision", ["", "mixed", "gptq", "iq3_xxs"])
def test_an_unknown_precision_is_not_guessed(judge, precision):
    row = judge(precision=precision)
    assert (row["mbu"], row["verdict"]) == (None, "cannot judge")
    assert f"precision {precision!r} is not known" in row["reason"]


def test_a_batch_shares_one_step(judge):
    alone, batch = judge(tokens_per_second=400), judge(tokens_per_second=400, batch_size=8)
    assert (alone["verdict"], batch["verdict"]) == ("impossible", "possible")
    assert batch["mbu"] == pytest.approx(alone["mbu"] / 8, abs=1e-5)
    assert ceiling(batch) == pytest.approx(8 * ceiling(alone), abs=0.5)
    assert batch["reason"].endswith("at bfloat16 and batch 8")
    assert judge(tokens_per_second=400, batch_size="")["mbu"] == alone["mbu"]


@pytest.mark.parametrize("batch", ["0", "-1", "1.5", "inf", "many"])
def test_a_batch_size_that_is_none(judge, batch):
    row = judge(batch_size=batch)
    assert row["verdict"] == "cannot judge"
    assert f"batch_size is {batch!r}" in row["reason"]


@pytest.mark.parametrize("name", [
    "Llama-2-7B", "Llama 2 7B Chat", "meta-llama/Llama-2-7b-chat-hf", "llama2-7b", "LLAMA_2_7B", "llama-2-7b.Q4_0.gguf",
])  # fmt: skip
def test_the_embedding_of_a_known_model_is_not_read(judge, name):
    row = judge(model=name, precision="float32")
    assert weights(row) == pytest.approx(LLAMA - EMBEDDING, rel=1e-5)
    assert row["reason"].endswith("at float32")


@pytest.mark.parametrize("name", [
    "Llama-2-70B", "Llama-27B", "Llama-2.7B", "Llama-2-7Bx", "Tinyllama-2-7b", "Llama-3-2-7b", "Mistral-7B", "",
])  # fmt: skip
def test_the_embedding_of_another_model_counts(judge, name):
    row = judge(model=name, precision="float32")
    assert weights(row) == pytest.approx(LLAMA, rel=1e-5)
    assert row["reason"].endswith(", if a step reads at least 6.738 billion parameters")


@pytest.mark.parametrize(("name", "parameters", "embedding"), [
    ("Mistral-7B v0.1 Instruct", MISTRAL, EMBEDDING),
    ("mistralai/Mistral-7B-Instruct-v0.1", MISTRAL, EMBEDDING),
    ("Meta-Llama-3.1-8B-Instruct", 8030261248, 128256 * 4096),
    ("TinyLlama 1.1B Chat", 1100048384, 32000 * 2048),
    ("JackFram/llama-160m", 162417408, 32000 * 768),
    ("Qwen 2.5 0.5B", 494032768, 0),  # tied: read as the output matrix
    ("Llama-3.2-1B", 1235814400, 0),
])  # fmt: skip
def test_the_other_known_models(judge, name, parameters, embedding):
    row = judge(model=name, parameters=parameters, precision="float32", tokens_per_second=10)
    assert weights(row) == pytest.approx(parameters - embedding, rel=1e-5)
    assert "if a step reads" not in row["reason"]


@pytest.mark.parametrize(("spelling", "name", "read"), [
    ("6738415616", "Llama-2-7B", LLAMA - EMBEDDING),
    ("6738415616.0", "Llama-2-7B", LLAMA - EMBEDDING),
    ("6.74e9", "Llama-2-7B", LLAMA - EMBEDDING),
    ("6.7b", "Llama-2-7B", LLAMA - EMBEDDING),
    ("7B", "Llama-2-7B", LLAMA - EMBEDDING),
    ("160M", "llama-160m", 162417408 - 32000 * 768),
    ("6600000000", "Llama-2-7B", 6.6e9),  # more than 1 % off: another model of that name
    ("3e9", "x", 2.5e9),
    ("7B", "x", 6.5e9),
    ("6.7 b", "x", 6.65e9),
    ("160M", "x", 159.5e6),
    ("7000000000", "x", 7e9),
])  # fmt: skip
def test_spellings_of_a_parameter_count(judge, spelling, name, read):
    row = judge(parameters=spelling, model=name, precision="float32", tokens_per_second=10)
    assert weights(row) == pytest.approx(read, rel=1e-5)


@pytest.mark.parametrize("spelling", ["", "-", "0", "-7B", "8x7B", "6,74e9", "inf", "7 billion", "1e999"])
def test_a_parameter_count_that_is_none(judge, spelling):
    row = judge(parameters=spelling)
    assert row["verdict"] == "cannot judge"
    assert f"parameters is {spelling!r}: give a number" in row["reason"]


@pytest.mark.parametrize(("speed", "said"), [
    ("", "no speed: tokens_per_second is ''"),
    ("-", "no speed: tokens_per_second is '-'"),
    ("NaN", "no speed: tokens_per_second is 'NaN'"),
    ("0", "tokens_per_second is '0', not a positive finite number"),
    ("-3.5", "tokens_per_second is '-3.5', not a positive finite number"),
    ("inf", "tokens_per_second is 'inf', not a positive finite number"),
    ("OOM", "tokens_per_second is 'OOM', not a number"),
    ("± 0.27", "tokens_per_second is '± 0.27', not a number"),
])  # fmt: skip
def test_a_speed_that_is_none(judge, speed, said):
    row = judge(tokens_per_second=speed)
    assert (row["mbu"], row["verdict"], row["reason"]) == (None, "cannot judge", said)


@pytest.mark.parametrize("speed", ["84.91 ± 0.27", "84.91±0.27", "84.91 +/- 0.27", " 84.91 "])
def test_a_speed_with_its_spread(judge, speed):
    assert judge(tokens_per_second=speed)["mbu"] == judge(tokens_per_second=84.91)["mbu"]


@pytest.mark.parametrize("place", [
    {"bandwidth_gbs": None}, {"bandwidth_gbs": ""}, {"bandwidth_gbs": "-", "hardware": ""},
    {"bandwidth_gbs": None, "hardware": "n/a"},
])  # fmt: skip
def test_no_bandwidth(judge, place):
    row = judge(**place)
    assert (row["mbu"], row["verdict"]) == (None, "cannot judge")
    assert row["reason"].startswith("no bandwidth")


@pytest.mark.parametrize("value", ["0", "-1", "inf", "fast"])
def test_a_bandwidth_that_is_none_is_not_replaced_by_the_hardware_s(judge, value):
    row = judge(bandwidth_gbs=value, hardware="H200")
    assert row["verdict"] == "cannot judge"
    assert f"bandwidth_gbs is {value!r}" in row["reason"]


@pytest.mark.parametrize(("hardware", "bandwidth"), [
    ("A100 80GB SXM", 2039), ("nvidia a100-sxm4-80gb", 2039), ("NVIDIA A100 80GB PCIe", 1935), ("A100 40 GB", 1555),
    ("NVIDIA H100 80GB HBM3", 3350), ("h200", 4800), ("B200", 8000), ("Tesla V100-SXM2-32GB", 900), ("Tesla T4", 320),
    ("L4", 300), ("L40S", 864), ("A10", 600), ("NVIDIA GeForce RTX 3090", 936), ("rtx4090", 1008), ("RTX-5090", 1792),
    ("AMD Instinct MI250X", 3277), ("Apple M1", 68.3), ("M1 Max", 400), ("apple m2", 100), ("M2 Ultra", 800),
])  # fmt: skip
def test_known_hardware(judge, hardware, bandwidth):
    assert f"% of {bandwidth} GB/s" in judge(bandwidth_gbs="", hardware=hardware)["reason"]


def test_a_given_bandwidth_comes_before_the_hardware_s(judge):
    assert "% of 1935 GB/s" in judge(bandwidth_gbs=1935, hardware="A100 80GB SXM")["reason"]


@pytest.mark.parametrize(("hardware", "candidates"), [
    ("A100", "A100 80GB SXM, A100 80GB PCIe, A100 40GB"),
    ("NVIDIA A100 80GB", "A100 80GB SXM, A100 80GB PCIe"),
    ("A100 80", "A100 80GB SXM, A100 80GB PCIe"),
    ("A100-SXM4", "A100 80GB SXM, A100 40GB"),
    ("H100", "H100 SXM, H100 PCIe, H100 NVL"),
    ("M3 Max", "Apple M3 Max 30-core GPU, Apple M3 Max 40-core GPU"),
])  # fmt: skip
def test_ambiguous_hardware_names_the_candidates(judge, hardware, candidates):
    row = judge(bandwidth_gbs=None, hardware=hardware)
    assert (row["mbu"], row["verdict"]) == (None, "cannot judge")
    assert row["reason"] == f"hardware {hardware!r} is ambiguous: name one of {candidates}, or give bandwidth_gbs"


@pytest.mark.parametrize("hardware", ["Abacus 9", "GPU", "RTX 4090 Laptop GPU", "8x H200", "V100S", "A10G"])
def test_unknown_hardware_is_not_guessed(judge, hardware):
    row = judge(bandwidth_gbs=None, hardware=hardware)
    assert (row["mbu"], row["verdict"]) == (None, "cannot judge")
    assert row["reason"] == f"hardware {hardware!r} is not in hardware.yaml: give bandwidth_gbs"


def test_every_device_has_a_source_and_a_spelling_of_its_own():
    entries = yaml.safe_load(HARDWARE.read_text())
    assert all(entry["source"].startswith("https://") and entry["bandwidth_gbs"] > 50 for entry in entries.values())
    spellings = list(entries) + [alias for entry in entries.values() for alias in entry.get("aliases", ())]
    folded = [re.sub(r"[^a-z0-9]|nvidia|apple|gpu", "", each.lower()) for each in spellings]
    assert len(set(folded)) == len(folded)


def test_absurd_numbers_do_not_reach_the_json(judge):
    row = judge(tokens_per_second="1e308", bandwidth_gbs="1e-300")
    assert row["reason"].startswith("the numbers are out of range")
    as_json([row])


@pytest.mark.parametrize(("content", "said"), [
    (b"", "x.csv: the file is empty; its first line must name the columns engine, model, "),
    (b"\n\n", "x.csv: the file is empty"),
    (b"engine,model\na,b\n", "x.csv: no column parameters, precision, tokens_per_second; name them in the first line"),
    (b"engine;model;parameters;precision;tokens_per_second\n", "x.csv: no column engine, .*separate the columns by c"),
    (b'{"rows": []}', "x.csv: no column engine, "),
    (b"\x89PNG\r\n\xff\xfe", "x.csv: not a CSV file .*save the table as comma-separated UTF-8 text"),
    (b'engine,"model\n', "x.csv: not a CSV file "),
    (b"engine,model,parameters,precision,tokens_per_second,model\n", "x.csv: column 'model' occurs more than once"),
    (b"engine,model,parameters,precision,tokens_per_second,mbu\n", "x.csv: column 'mbu' is what the audit adds"),
    (b"engine,model,parameters,precision,tokens_per_second\n", "x.csv: no rows below the header"),
    (b"engine,model,parameters,precision,tokens_per_second\n\na,b,7B,int8,1,2\n", "x.csv:3: 6 cells where .* has 5"),
    (b"engine,model,parameters,precision,tokens_per_second\na,b,7B,int8\n", "x.csv:2: 4 cells where .* has 5"),
])  # fmt: skip
def test_a_file_that_cannot_be_audited_is_one_line(tmp_path, content, said):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as refused:
        audit(path)
    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: cannot be read: No such file or directory; give a CSV file"):
        audit(tmp_path / "none.csv")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        audit(tmp_path)


def test_a_spreadsheet_s_byte_order_mark_and_spaces_do_no_harm(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("engine, model ,parameters,precision,tokens_per_second,bandwidth_gbs\r\na,b,7B, int8 ,1,100\r\n",
                    encoding="utf-8-sig")  # fmt: skip
    assert audit(path)[0]["verdict"] == "possible"


def test_json_keeps_other_columns_and_knows_no_nan(judge):
    rows = [judge(note="kept, as it is"), judge(tokens_per_second="nan")]
    text = as_json(rows)
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read == {"rows": rows}
    assert read["rows"][0]["note"] == "kept, as it is"
    assert [type(row["mbu"]) for row in read["rows"]] == [float, type(None)]


def test_the_table_ends_with_the_count(judge):
    lines = as_table([judge(), judge(tokens_per_second=999), judge(tokens_per_second="-")]).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].split() == ["engine", "model", "precision", "tokens/s", "mbu", "verdict", "reason"]
    first, _, last = [re.split(r"\s{2,}", line) for line in lines if line.startswith("gpt-fast")]
    assert first[:6] == ["gpt-fast", "Llama-2-7B", "bfloat16", "104.9", "68", "possible"]
    assert last[3:6] == ["-", "?", "cannot judge"]
    assert lines[-1] == "3 rows: 1 possible, 1 impossible, 1 cannot be judged"


def test_a_control_sequence_does_not_reach_the_terminal(judge):
    assert "\x1b" not in as_table([judge(engine="\x1b[2Jvllm")])
