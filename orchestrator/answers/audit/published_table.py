"""Which cells of a published table are physically possible? For `./benchmark.sh audit FILE.csv`.

To decode a token an engine must read every weight once, so that the memory bandwidth limits the speed:

    MBU [%] = 100 x bytes read per step x steps per second / bandwidth

(MBU as in https://www.databricks.com/blog/llm-inference-performance-engineering-best-practices). Here the bytes are a
LOWER bound and the bandwidth is the vendor's peak, so that a sound number is never called `impossible`.
"""

from __future__ import annotations

import csv
import functools
import itertools
import json
import math
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from orchestrator.base.errors import UserError
from orchestrator.base.escape import visible
from orchestrator.base.terminal import grid
from orchestrator.models.synthetic import shapes

HARDWARE = Path(__file__).with_name("hardware.yaml")
COLUMNS = ("engine", "model", "parameters", "precision", "tokens_per_second")
ADDED = ("mbu", "verdict", "reason")
POSSIBLE, IMPOSSIBLE, CANNOT_JUDGE = "possible", "impossible", "cannot judge"
NOTHING = ("", "-", "nan", "n/a", "none", "null")
TOLERANCE = 0.01  # relative, of a shape's parameters: published counts are rounded
SCALES = {"": 0, "k": 3, "m": 6, "b": 9, "t": 12}  # powers of ten
VENDORS = ("nvidia", "amd", "apple", "geforce", "tesla", "instinct", "radeon", "gpu")  # words that distinguish no cards

# Bytes per weight without scales and zero points, by the label's letters and digits. A mixed scheme counts as its
# smallest block: no weight of q4_k_m has fewer than 4 bits.
LABELS = {
    4: "float32 fp32 f32",
    2: "float16 fp16 f16 half bfloat16 bf16",
    1: "int8 i8 8bit fp8 float8 fp8e4m3 fp8e5m2 q8 q80 llmint8 w8a8 w8a16 gptq8bit gptqint8",
    0.75: "q6k",
    0.625: "q50 q51 q5k q5ks q5km",
    0.5: "int4 i4 4bit fp4 nf4 mxfp4 nvfp4 q4 q40 q41 q4k q4ks q4km awq awq4bit awqint4 gptq4bit gptqint4 w4a16 w4a8",
    0.375: "q3k q3ks q3km q3kl",
    0.25: "q2k q2ks",
}
BYTES = {label: size for size, labels in LABELS.items() for label in labels.split()}


class _Unknown(Exception):
    """A row cannot be judged; the message is its reason."""


def audit(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file, each with `mbu`, `verdict` and `reason`; all other values are the file's own text.

    Columns: engine, model, parameters, precision, tokens_per_second (of all sequences together), and bandwidth_gbs
    (10^9 bytes/s, of all devices together) or hardware (one device of data/hardware.yaml); optional batch_size
    (sequences that share a step; default 1). bandwidth_gbs comes before hardware. Other columns are passed through.

    mbu:      percent of the bandwidth that the speed needs at least; None if it cannot be judged
    verdict:  "possible", "impossible" (mbu > 100) or "cannot judge": what is unknown is not guessed
    reason:   one sentence with the ceiling in tokens/s, or what is missing

    A step reads `parameters` x bytes per weight of the precision; scales, KV cache and activations are not counted. The
    input embedding is looked up, not read: it is subtracted if the model's name is that of a shape in
    models/shapes.yaml ("meta-llama/Llama-2-7b-chat-hf" is llama-2-7b), `parameters` lie within 1 % of the shape's or
    are written as in its name ("7B"), and the embedding is not tied to the output. Otherwise `parameters` are taken as
    what a step reads, a rounded "7B" as the least it can mean, 6.5 billion. So for an unlisted model leave the input
    embedding out, and for a mixture of experts (Mixtral) give the ACTIVE parameters.

    Not covered: several tokens per step (speculative decoding), and a model that stays in the processor's cache.

    Raises UserError for a file that cannot be read, is empty, is not a CSV, lacks a column or has one twice.
    """
    rows = _read(path)
    for row in rows:
        try:
            row.update(zip(ADDED, _judge(row), strict=True))
        except _Unknown as unknown:
            row.update(zip(ADDED, (None, CANNOT_JUDGE, str(unknown)), strict=True))
    return rows


def as_json(rows: list[dict[str, Any]]) -> str:
    """`{"rows": [...]}` with null for an unknown mbu."""
    return json.dumps({"rows": rows}, indent=2, ensure_ascii=False, allow_nan=False)


def as_table(rows: list[dict[str, Any]]) -> str:
    """A table for the terminal, and below it the number of rows of each verdict."""
    lines = [
        [
            *(visible(row[key]) for key in ("engine", "model", "precision", "tokens_per_second")),
            "?" if row["mbu"] is None else _percent(row["mbu"]),
            row["verdict"],
            visible(row["reason"]),
        ]
        for row in rows
    ]
    heads = ["engine", "model", "precision", "tokens/s", "mbu %", "verdict", "reason"]
    count = Counter(row["verdict"] for row in rows)
    return (
        f"{grid(heads, lines)}\n\n{len(rows)} rows: {count[POSSIBLE]} possible, "
        f"{count[IMPOSSIBLE]} impossible, {count[CANNOT_JUDGE]} cannot be judged"
    )


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        # utf-8-sig: spreadsheets put a byte order mark before the first column's name
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; give a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file ({error}); save the table as comma-separated UTF-8 text") from error
    if not lines:
        raise UserError(f"{path}: the file is empty; its first line must name the columns {', '.join(COLUMNS)}")
    header = lines[0][1]
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise UserError(f"{path}: column {twice[0]!r} occurs more than once; rename or remove one")
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        hint = "separate the columns by commas" if len(header) == 1 else "name them in the first line"
        raise UserError(f"{path}: no column {', '.join(missing)}; {hint}")
    taken = [name for name in ADDED if name in header]
    if taken:
        raise UserError(f"{path}: column {taken[0]!r} is what the audit adds; rename or remove it")
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise UserError(
                f"{path}:{number}: {len(cells)} cells where the header has {len(header)}; "
                "quote a cell that contains a comma"
            )
    if len(lines) == 1:
        raise UserError(f"{path}: no rows below the header; add one line per cell of the table")
    return [dict(zip(header, cells, strict=True)) for _, cells in lines[1:]]


def _judge(row: dict[str, Any]) -> tuple[float, str, str]:
    tokens = _speed(row["tokens_per_second"])
    label = re.sub(r"[^a-z0-9]", "", row["precision"].lower())
    if label not in BYTES:
        raise _Unknown(f"precision {row['precision']!r} is not known: use a name like float32, bfloat16, int8 or q4_0")
    weights, is_known_shape = _weights(row["model"], row["parameters"])
    batch = _batch(row.get("batch_size", ""))
    bandwidth = _bandwidth(row.get("bandwidth_gbs", ""), row.get("hardware", ""))

    step_bytes = weights * BYTES[label]
    ceiling = batch * bandwidth * 1e9 / step_bytes
    # Rounded, so that a number exactly at the ceiling is not called impossible because of a rounding error.
    mbu = round(100 * tokens / ceiling, 6) if ceiling > 0 else math.inf
    if not (math.isfinite(mbu) and math.isfinite(ceiling)):
        raise _Unknown("the numbers are out of range: check tokens_per_second, parameters and bandwidth_gbs")
    at = row["precision"] + (f" and batch {batch}" if batch > 1 else "")
    assumption = "" if is_known_shape else f", if a step reads at least {weights / 1e9:.4g} billion parameters"
    reason = (
        f"{tokens:.10g} tokens/s need {_percent(mbu)} % of {bandwidth:.10g} GB/s: "
        f"at most {_ceiling(ceiling)} tokens/s are possible at {at}{assumption}"
    )
    return mbu, IMPOSSIBLE if mbu > 100 else POSSIBLE, reason


def _speed(text: str) -> float:
    if text.lower() in NOTHING:
        raise _Unknown(f"no speed: tokens_per_second is {text!r}")
    return _positive("tokens_per_second", text, re.split(r"±|\+/-", text)[0])


def _batch(text: str) -> int:
    if text.lower() in NOTHING:
        return 1
    batch = _positive("batch_size", text, text)
    if not batch.is_integer():
        raise _Unknown(f"batch_size is {text!r}, not a whole number")
    return int(batch)


def _positive(name: str, shown: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _Unknown(f"{name} is {shown!r}, not a number") from None
    if not math.isfinite(value) or value <= 0:
        raise _Unknown(f"{name} is {shown!r}, not a positive finite number")
    return value


def _weights(model: str, text: str) -> tuple[int | float, bool]:
    """(the least number of weights that a step reads, whether the model's shape is known)."""
    match = re.fullmatch(r"(\d+\.?\d*(?:e\+?\d{1,2})?)\s*([kmbt]?)", text.lower())
    value = Decimal(match[1]).scaleb(SCALES[match[2]]) if match else Decimal(0)
    if value <= 0:
        raise _Unknown(f"parameters is {text!r}: give a number like 6738415616, 6.74e9 or 7B")
    size_as_written = match[0].replace(" ", "") if match else ""
    for name, size, total, read in _shapes():
        close = abs(int(value) - total) <= TOLERANCE * total
        if name.search(model.lower()) and (close or size_as_written == size):
            return read, True
    last_digit = int(value.as_tuple().exponent)
    return float(value - (Decimal(5).scaleb(last_digit - 1) if last_digit > 0 else 0)), False


@functools.cache
def _shapes() -> list[tuple[re.Pattern[str], str, int, int]]:
    """(pattern of its spellings, the size in its name, its parameters, those that a step reads) of every shape."""
    entries = []
    for shape in shapes.names():
        parts = re.findall(r"[a-z]+|[0-9.]+[a-z]*", shape)
        pattern = parts[0]
        for before, part in itertools.pairwise(parts):
            # Two numbers need something between them: Llama-27B is not Llama 2 7B. A dot would make it a 2.7B.
            separator = "[^a-z0-9.]+" if before[-1].isdigit() and part[0].isdigit() else "[^a-z0-9.]*"
            pattern += separator + re.escape(part)
        config = shapes.config(shape)
        total = shapes.parameters(config)
        embedding = 0 if config["tie_word_embeddings"] else config["vocab_size"] * config["hidden_size"]
        entries.append((re.compile(f"(?<![a-z0-9]){pattern}(?![a-z0-9])"), parts[-1], total, total - embedding))
    return entries


def _bandwidth(text: str, hardware: str) -> float:
    """In 10^9 bytes/s."""
    if text.lower() not in NOTHING:
        return _positive("bandwidth_gbs", text, text)
    if hardware.lower() in NOTHING:
        raise _Unknown("no bandwidth: give bandwidth_gbs or hardware")
    wanted, devices = _words(hardware), _devices()
    for spellings, bandwidth in devices.values():
        if wanted.replace(" ", "") in [spelling.replace(" ", "") for spelling in spellings]:
            return bandwidth
    # Whole words, because a V100S is no V100 SXM2; but "A100 80" lacks only the unit.
    longer = (f"{wanted} ", f"{wanted}gb")
    near = [name for name, (spellings, _) in devices.items() if any(text.startswith(longer) for text in spellings)]
    if near:
        raise _Unknown(f"hardware {hardware!r} is ambiguous: name one of {', '.join(near)}, or give bandwidth_gbs")
    raise _Unknown(f"hardware {hardware!r} is not in {HARDWARE.name}: give bandwidth_gbs")


@functools.cache
def _devices() -> dict[str, tuple[list[str], float]]:
    """{device: (its spellings, normalised by `_words`, its bandwidth in 10^9 bytes/s)}."""
    entries = yaml.safe_load(HARDWARE.read_text(encoding="utf-8"))
    return {
        name: ([_words(spelling) for spelling in (name, *entry.get("aliases", ()))], float(entry["bandwidth_gbs"]))
        for name, entry in entries.items()
    }


def _words(hardware: str) -> str:
    return " ".join(word for word in re.findall(r"[a-z0-9]+", hardware.lower()) if word not in VENDORS)


def _percent(mbu: float) -> str:
    """Whole percent; more digits where rounding would hide on which side of 100 it lies."""
    return f"{mbu:.0f}" if abs(mbu - 100) >= 1 or mbu == 100 else f"{mbu:.9g}"


def _ceiling(tokens: float) -> str:
    return f"{tokens:.1f}" if tokens >= 10 else f"{tokens:.3g}"
