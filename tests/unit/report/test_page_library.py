"""What the chart library in report.html does by itself: read from the very script that goes into the page."""

import importlib.metadata
import re
from importlib.resources import files
from pathlib import Path

import pytest

from orchestrator.report.page import embed

ROOT = Path(__file__).parents[3]
# Options of plotly.js that are on, or name an address, unless they are set, and that send nothing anywhere.
HARMLESS = {
    "typesetMath": "draws formulas in labels",
    "editSelection": "a marked area can be moved",
    "showAxisDragHandles": "axes can be dragged",
    "showAxisRangeEntryBoxes": "the ends of an axis can be typed",
    "showTips": "hints as one zooms",
    "displayNotifier": "shows these hints",
    "topojsonURL": "of maps, which no chart here is",
}


def packaged_script() -> str:
    package, name = embed.LIBRARIES["plotly"]
    return (files(package) / name).read_text(encoding="utf-8")


def defaults(script: str) -> dict[str, str]:
    """Name and default, as the script has it, of each option of plotly.js: of `configAttributes` in plot_config.js."""
    (table,) = re.findall(r"\{staticPlot:\{valType:.*?\},locales:\{[^{}]*\{\}\}\}", script)
    return dict(re.findall(r'(\w+):\{valType:"\w+",(?:[^{}]*?,)??dflt:("[^"]*"|[^,{}]+)', table))


def options_set() -> set[str]:
    """The options that page.js sets for every chart."""
    script = (ROOT / "orchestrator/report/page/page.js").read_text(encoding="utf-8")
    table = re.search(r"^const CHART_CONFIG = \{$(.*?)^\};$", script, re.DOTALL | re.MULTILINE)[1]
    return set(re.findall(r"(\w+): ", re.sub(r"//.*", "", table)))


def not_reviewed(script: str) -> set[str]:
    """The options that are on, or hold an address, although neither page.js sets them nor HARMLESS has them."""
    active = {name for name, value in defaults(script).items() if value == "!0" or "://" in value}
    return active - options_set() - set(HARMLESS)


def test_the_library_does_nothing_by_itself_that_nobody_has_looked_at():
    assert not_reviewed(packaged_script()) == set()


@pytest.mark.parametrize(("option", "value"), [("showUpload", "!0"), ("uploadURL", '"https://upload.example"')])
def test_what_a_later_version_might_switch_on_is_noticed(option, value):
    further = f'{option}:{{valType:"any",dflt:{value}}},'
    script = packaged_script().replace("typesetMath:{valType:", f"{further}typesetMath:{{valType:")
    assert not_reviewed(script) == {option}


def test_the_way_to_the_vendor_s_cloud_is_shut():
    script = (ROOT / "orchestrator/report/page/page.js").read_text(encoding="utf-8")
    assert 'showSendToCloud: false, plotlyServerURL: ""' in script
    assert {"showSendToCloud", "plotlyServerURL", "modeBarButtons"} <= set(defaults(packaged_script()))


@pytest.mark.parametrize("package", sorted({package for package, _ in embed.LIBRARIES.values()}))
def test_a_library_that_goes_into_the_page_is_pinned_to_one_version(package):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"{package}=={importlib.metadata.version(package)}"' in text
