"""The page of a comparison of two models: its numbers against the tables, and its gestures."""

import json
import os
import re

import numpy as np
import pytest
from test_inspector import NASTY, SMALL_TARGETS, browser_tests, fit

from nnmf_nb import NMF, HierarchicalNMF, compare, datasets
from nnmf_nb.plot._compare import cosine_text, page_of


@pytest.fixture(scope="module")
def toy():
    return datasets.toy(random_state=0)


@pytest.fixture(scope="module")
def found(toy):
    deep = fit(HierarchicalNMF(ranks=(9, 4), random_state=0), toy.X)
    return compare(deep, fit(NMF(7, random_state=1), toy.X), features=toy.features)


def test_page_knows_what_the_tables_say(found, tmp_path):
    state = page_of(found)
    parts = np.array(state["parts"])
    np.testing.assert_allclose(parts, found.counts / found.n_samples, atol=1e-5)
    np.testing.assert_allclose(parts.sum(axis=0), state["heights"][1], atol=1e-4)
    assert [row[:2] for row in state["moved"]][0] == [
        f"data point {found.moved.index[0]}",
        found.moved.iloc[0]["topic_a"],
    ]
    assert len(state["moved"]) == len(found.moved) and len(state["pairs"]) == len(found.topics)
    back = [row[0] for row in state["pairs"] if row[7]]
    assert back == found.came_back["topic_a"].tolist()
    assert len(state["errors"]) == 3
    assert [row[6] for row in state["pairs"]] == [f"{one:.2f}" for one in found.topics["cosine"]]
    # no number on the page says that a topic came back which did not
    assert [cosine_text(one, 0.8) for one in (0.7964, 0.79996, 0.8, 0.804, 1)] == [
        "0.796", "0.79996", "0.80", "0.80", "1.00",
    ]  # fmt: skip
    named = page_of(found, [f"name {m}" for m in range(90)])
    assert named["moved"][0][0] == f"name {found.moved.index[0]}"
    with pytest.raises(ValueError, match="samples must be a name for each data point"):
        page_of(found, ["one"])
    page = found.to_html(tmp_path / "page.html").read_text()
    assert found.verdict in page and "http:" not in page and "https:" not in page


def test_models_without_common_data_points(toy, tmp_path):
    one = fit(NMF(3, random_state=0), toy.X)
    other = compare(one, fit(NMF(3, random_state=0), toy.X[:40]))
    state = page_of(other)
    assert state["n"] == 0 and state["moved"] == []
    json.dumps(state, allow_nan=False)


@pytest.fixture
def open_comparison(chromium, tmp_path):
    """Opens the page from disk with the network off; fails on any message or error."""
    contexts, trouble = [], []

    def opened(found, width=1200, scheme="light", **given):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(found.to_html(tmp_path / f"{len(contexts)}.html", **given).as_uri())
        page.wait_for_selector(".facing .node")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not trouble


@browser_tests
def test_a_topic_shows_where_its_data_points_went(open_comparison, found):
    page = open_comparison(found)
    assert page.locator(".facing .node").count() == 16
    n = len(found.moved)
    assert f"{n} of 90 data points" in page.locator(".moved [role=status]").inner_text()
    j = int(found.moved["topic_b"].iloc[0])
    button = page.locator(f'[data-key="b{j}"]')
    button.focus()
    page.keyboard.press("Enter")
    page.locator(".moved [role=status]", has_text="of B").wait_for()
    assert page.evaluate("document.activeElement.dataset.key") == f"b{j}"  # focus stays
    want = int((found.moved["topic_b"] == j).sum())
    assert f"{want} of 90" in page.locator(".moved [role=status]").inner_text()
    assert page.locator(".moved li").count() == min(want, 20)
    page.keyboard.press("Escape")
    page.locator(".facing .node .name").first.click()
    page.locator(".facing .node.selected").wait_for()
    shown = page.locator(".pairs tbody tr").all_inner_texts()
    assert len(shown) == len(found.topics)
    for row in found.came_back.itertuples():
        assert any(row.name_a in one and f"{row.cosine:.2f}" in one for one in shown)


@browser_tests
@pytest.mark.parametrize("width", [1200, 400])
def test_texts_of_a_comparison_stay_text(open_comparison, toy, width):
    names = [f"{NASTY}{i}" for i in range(87)]
    one = fit(NMF(4, random_state=0), toy.X)
    found = compare(one, fit(NMF(3, random_state=0), toy.X), features=names, names=(NASTY, "<b>"))
    samples = [NASTY + str(m) for m in range(90)]
    page = open_comparison(found, width, title=NASTY, note=NASTY, samples=samples)
    assert page.locator("img").count() == 0 and page.locator("b").count() == 0
    assert page.title() != "1" and re.match("<img", page.locator("h1").inner_text())
    assert page.locator(".moved li").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert width > 400 or page.evaluate(SMALL_TARGETS) == []


@browser_tests
@pytest.mark.exhaustive
@pytest.mark.skipif("AXE" not in os.environ, reason="AXE does not name axe.min.js of axe-core")
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (400, "dark")])
def test_accessibility_checker_finds_nothing_in_a_comparison(open_comparison, found, width, scheme):
    page = open_comparison(found, width, scheme)
    page.locator("[data-key]").first.click()
    with open(os.environ["AXE"], encoding="utf-8") as file:
        page.evaluate(file.read())
    result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in result["violations"]] == []
