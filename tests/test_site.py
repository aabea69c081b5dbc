"""The documentation site (issue 23): its sources, its link check, and, where `make docs` has built
it, its pages in a browser.
"""

import functools
import http.server
import importlib
import importlib.util
import json
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nnmf_nb import __version__

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_docs" / "html"


def load_tool():
    spec = importlib.util.spec_from_file_location("docs_tool", ROOT / "tools" / "docs.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


docs = load_tool()


def test_citation_names_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in text and "license: BSD-3-Clause" in text


def test_api_pages_are_the_public_names():
    groups = dict(docs.listed_names())
    assert "nnmf_nb.NeuralNMF" in groups["Fit a model"]
    assert "nnmf_nb.solvers.extrapolation.extrapolated_nmf" in groups["Solvers"]
    for name in (name for names in groups.values() for name in names):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute)


def test_pictures_of_the_gallery_are_there():
    for name, place in docs.GALLERY.items():
        nb = json.loads((ROOT / "nbs" / f"{name}.ipynb").read_text(encoding="utf-8"))
        assert len(docs.pictures(nb)) > place and docs.title(nb)


def test_readers_see_no_directives():
    cells = [
        {"cell_type": "code", "source": "#| export\nx = 1", "outputs": []},
        {"cell_type": "code", "source": "#| default_exp a", "outputs": []},
        {"cell_type": "code", "source": "#| hide\ny", "outputs": [1]},
        {"cell_type": "markdown", "source": "[a](b.ipynb#The-End) [c](https://d/#E)"},
    ]
    shown = [cell["source"] for cell in docs.for_readers({"cells": cells})["cells"]]
    assert shown == ["x = 1", "[a](b.ipynb#the-end) [c](https://d/#E)"]


def test_names_of_models_lead_to_their_pages():
    """Not in code, links and headings, and no other names."""
    led = "{py:class}`NMF <nnmf_nb.NMF>`"
    assert docs.with_names("a `NMF`, `fit`") == f"a {led}, `fit`"
    for same in ("[`NMF`](x.html)", "# `NMF`", "```\n`NMF`\n```", "``NMF``", "`nnls`"):
        assert docs.with_names(same) == same


def test_broken_links_and_outside_requests_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(docs, "SITE", tmp_path)
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">1</a><a href="b.html#nowhere">2</a><a href="c.html">3</a>'
        '<a href="https://example.org">4</a><img src="data:,"><script src="https://cdn/x.js">'
    )
    (tmp_path / "b.html").write_text('<p id="there">')
    assert sorted(docs.faults()) == [
        "a.html loads https://cdn/x.js",
        "a.html: no file for c.html",
        "a.html: no place for b.html#nowhere",
    ]


@pytest.fixture
def open_page(chromium):
    """Opens a page of the site in a window of a width; collects errors and outside requests."""
    if not (SITE / "index.html").exists():
        pytest.skip("make docs builds the site")
    contexts, seen = [], []

    def opened(name, width):
        context = chromium.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda one: seen.append(one.url))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.goto((SITE / name).as_uri())
        page.wait_for_timeout(500)
        return page

    yield opened, seen
    for context in contexts:
        context.close()


PAGES = ["index.html", "nbs/quickstart.html", "nbs/notation.html", "api/index.html"]
PAGES += ["api/names/nnmf_nb.NeuralNMF.html", "nbs/layer/nnls.html", "nbs/public_names.html"]


@pytest.mark.browser
@pytest.mark.exhaustive
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_pages_stay_inside_window_and_machine(open_page, name, width):
    opened, seen = open_page
    page = opened(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not [one for one in seen if not one.startswith(("file:", "data:", "blob:"))]
    if "notation" in name:
        assert page.locator("mjx-container svg").count() > 20
    assert __version__ in page.title()


@pytest.mark.browser
@pytest.mark.exhaustive
def test_first_page_is_alive(open_page):
    """The inspector in it, and the dark theme."""
    opened, seen = open_page
    page = opened("index.html", 1280)
    frame = page.frame_locator("iframe.live")
    frame.locator("#inspector button, #inspector [role=button]").first.wait_for()
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="light")
    assert dark != page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert not [one for one in seen if not one.startswith(("file:", "data:", "blob:"))]


# what a newcomer looks for on the first page: the text of one link, where it leads, what is there
FIRST = {
    "how to install": ("#install", "Install", "pip install"),
    "the quickstart": ("quickstart.html", "Quickstart", "fit("),
    "which model to choose": ("choosing_a_model.html", "Choosing a model", "NeuralNMF"),
    "the API of NeuralNMF": ("NeuralNMF.html#nnmf_nb.NeuralNMF", "NeuralNMF", "ranks=(20, 6)"),
    "how to cite": ("#cite", "Cite", "Gao"),
}


@pytest.mark.browser
@pytest.mark.exhaustive
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("wanted", FIRST)
def test_first_page_leads_there_by_one_visible_link(open_page, wanted, width):
    """One click on a link in the first screen, on a phone and on a desk, shows the heading."""
    end, heading, content = FIRST[wanted]
    opened, _ = open_page
    page = opened("index.html", width)
    links = page.locator(f'article a[href$="{end}"]:visible').all()
    link = next(one for one in links if one.bounding_box()["y"] < 900 and one.inner_text())
    link.click()
    page.wait_for_load_state()
    assert page.url.endswith(end)
    place = urlsplit(page.url).fragment
    title = page.locator(f'[id="{place}"]' if place else "h1").first
    title.wait_for()
    assert heading in title.inner_text()
    # the page scrolls smoothly, and pictures that load on the way move what is below them
    for _ in range(30):
        page.wait_for_timeout(200)
        if -1 <= title.bounding_box()["y"] < 900:
            break
    assert -1 <= title.bounding_box()["y"] < 900
    assert content in page.locator("article").inner_text()


@pytest.fixture
def served():
    """Address of the site on a server of this machine: excerpts of search results need one."""
    handler = functools.partial(QuietHandler, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """A handler that writes no log."""

    def log_message(self, *_):
        pass


@pytest.mark.browser
@pytest.mark.exhaustive
def test_search_finds_pages_of_notebooks_and_names(open_page, served):
    opened, seen = open_page
    page = opened("index.html", 390)
    page.goto(f"{served}search.html?q=certificate")
    page.locator("ul.search li .context").first.wait_for()
    found = [one.get_attribute("href") for one in page.locator("ul.search li > a").all()]
    assert any("nbs/evaluation/certificates" in one for one in found)
    page.goto(f"{served}search.html?q=NeuralNMF")
    page.locator('ul.search li a[href*="nnmf_nb.NeuralNMF"]').first.wait_for()
    assert not [one for one in seen if not one.startswith(("file:", "data:", "blob:", served))]
