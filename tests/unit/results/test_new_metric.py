"""A metric is one entry and one function: one that is added to the registry alone stands in every output."""

import importlib.util
import json

import duckdb
import pytest
from click.testing import CliRunner

from orchestrator.report import documents, exports, markdown, terminal_table, write
from orchestrator.report.page import row_table
from orchestrator.results import merge, store
from orchestrator.results.metrics.metric import TIMES, Group, Metric, Style
from orchestrator.results.metrics.registry import METRICS
from tests.support.contenders import cell
from tests.support.results_directory import results

HEAD, FIELD = "Second ms", "second_token_s"
CELLS = [cell("alpha"), cell("beta")]


def second_token(launch):
    """From submit to the second token of every measured iteration, s."""
    return [sample.steps_ns[1] / 1e9 for sample in launch.samples if sample.phase == "measure"]


SECOND = Metric(
    key="second_token",
    field=FIELD,
    title="second token",
    short="Second",
    meaning="time from submit to the second token",
    formula="t₂",
    source="step times",
    group=Group.TIME,
    style=Style.INTERVAL,
    unit="s",
    units=TIMES,
    display="ms",
    better="less",
    of_launch=second_token,
    limit="--max-second-token",
    example="20ms",
    objective="second_token",
    comparable=True,
    page=True,
    terminal=True,
)


def steps(block, iteration):
    return [10_000_000, 20_000_000 + 10_000 * block, 30_000_000]


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Two results directories that were measured before anybody thought of the metric."""
    before, after = (results(tmp_path / name, CELLS, launches_each=5, steps=steps) for name in ("before", "after"))
    monkeypatch.setitem(METRICS, SECOND.key, SECOND)
    return before, after


@pytest.fixture
def summary(places):
    return merge.load(places[0])


@pytest.fixture
def answer(places):
    """Runs a command of a copy of the module, whose options were made when the metric was there."""
    spec = importlib.util.find_spec("orchestrator.cli.answer_commands")
    commands = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(commands)

    def run(name, *arguments):
        command = getattr(commands, f"{name}_command")
        outcome = CliRunner().invoke(command, [*map(str, arguments)], standalone_mode=False)
        assert outcome.exception is None, outcome.output
        return outcome.output

    return run


def test_json(summary):
    row = summary["rows"][0]
    assert list(row)[-1] == FIELD  # after all others: a spreadsheet reads those by position
    assert (row[FIELD]["median"], row[FIELD]["low"], row[FIELD]["high"]) == (0.02002, 0.02, 0.02004)
    assert FIELD in json.loads(write.as_text(summary))["rows"][1]


def test_csv(summary):
    head = write.as_csv(summary).splitlines()[0].split(",")
    assert [name for name in head if name.startswith(FIELD)] == [
        f"{FIELD}.{inner}" for inner in ("median", "low", "high", "level", "mean", "std")
    ]


@pytest.mark.parametrize("form", exports.FORMATS)
def test_tables(summary, form):
    text = exports.FORMATS[form](exports.collect(summary, [], "latency"))
    assert "Second" in text and "20.0" in text


def test_report(summary):
    text = markdown.render(summary).replace("\\", "")
    assert HEAD in text and "20.0 [20.0, 20.0]" in text


def test_terminal(summary):
    assert "Second" in terminal_table.terminal(summary)


def test_page(summary):
    table = row_table.table(summary["rows"])
    number = [column["title"] for column in table["columns"]].index(HEAD)
    assert table["columns"][number]["shown"] and table["rows"][0][number] == [20.02, 20.0, 20.04]


def test_a_store_that_was_made_before_gets_the_column(tmp_path, places, monkeypatch):
    file = tmp_path / "results.duckdb"
    with monkeypatch.context() as earlier:
        earlier.delitem(METRICS, SECOND.key)
        store.append(file, merge.split(merge.load(places[0]), places[0]))
    other = results(tmp_path / "other", CELLS[:1], launches_each=5, steps=steps, seed=8)
    store.append(file, merge.split(merge.load(other), other))
    with duckdb.connect(str(file), read_only=True) as connection:
        values = connection.execute(f"SELECT {FIELD}_median, decode_tps_low FROM latest ORDER BY 1").fetchall()
    assert [value for value, _ in values] == [0.02002, None, None] and all(low for _, low in values)
    assert len(merge.load(file)["rows"]) == 3


def test_compare(places, answer):
    text = answer("compare", *places, "--metric", "second_token", "--no-anchor")
    assert "second token [s], after / before" in text and "no difference shown" in text


def test_choose(places, answer):
    assert "--max-second-token 20ms" in answer("choose", "--help")
    found = json.loads(
        answer("choose", places[0], "--objective", "second_token", "--max-second-token", "20.03ms", "--format", "json")
    )
    assert found["objective"]["key"] == "second_token"
    assert found["answers"][0]["pick"]["values"]["second_token"]["value"] == 0.02002
    missed = json.loads(answer("choose", places[0], "--max-second-token", "1ms", "--format", "json"))
    assert missed["answers"][0]["pick"] is None


@pytest.mark.parametrize(("part", "text"), [("glossary", SECOND.meaning), ("metrics TIME", SECOND.formula)])
def test_documents(tmp_path, places, part, text):
    page = tmp_path / "page.md"
    page.write_text(f"<!-- generated: {part} (./benchmark.sh list --update) -->\n<!-- end of generated part -->\n")
    documents.update(documents.Sources(tmp_path, [], ""), page)
    line = next(line for line in page.read_text().splitlines() if FIELD in line)
    assert text in line


def test_every_metric_says_what_a_reader_needs():
    for key, metric in METRICS.items():
        assert (key == metric.key and metric.field) or metric.reader
        assert all((metric.title, metric.short, metric.meaning, metric.formula, metric.source))
        assert metric.better in ("more", "less")
        assert not metric.limit or metric.parse(metric.example)
        assert not metric.display or metric.display in metric.units
    for name in ("key", "field", "title", "limit", "objective"):
        names = [getattr(metric, name) for metric in METRICS.values() if getattr(metric, name)]
        assert len(names) == len(set(names))
