import pytest

from orchestrator.report.page import document
from tests.support import chromium


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser():
    """The browser; the tests are skipped where there is none."""
    if chromium.path() is None:
        pytest.skip(chromium.MISSING)
    with chromium.launched() as made:
        yield made


@pytest.fixture
def look(browser, tmp_path):
    """Open the page of a summary: look(summary, width=…, color_scheme=…) gives it once its table is drawn.

    Whatever a test does, no page may complain on its console, ask for anything outside its own file, or open another.
    """
    contexts, complaints, requests, opened_pages = [], [], [], []

    def opened(summary, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        context.on("request", lambda request: requests.append(request.url))
        context.on("page", lambda another: opened_pages.append(another.url))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        path = document.write(tmp_path, summary)
        page.goto(path.as_uri())
        page.wait_for_selector("#rows tbody tr")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert opened_pages == []
    assert [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []


@pytest.fixture
def drawn():
    """Scroll to a chart and wait until it is drawn: drawn(page, name) gives its plot."""

    def wait(page, name):
        plot = page.locator(f"#chart-{name} .plot:visible").first
        plot.scroll_into_view_if_needed()
        page.wait_for_selector(f"#chart-{name} .plot.drawn")
        return plot

    return wait
