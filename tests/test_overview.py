"""The map of all data points: where they are, what is chosen there, in Python and in the page."""

import itertools
import json
import os
import re
import zlib

import numpy as np
import pandas as pd
import pytest
import traitlets
from test_documents import unpacked
from test_inspector import NASTY, browser_tests, exact_shares, fit, node, open_page

from nnmf_nb import NMF, HierarchicalNMF, datasets, inspect
from nnmf_nb.inspector import _overview as module
from nnmf_nb.inspector import _view
from nnmf_nb.plot import map_positions

__all__ = ["open_page"]


@pytest.fixture(scope="module")
def toy():
    return datasets.toy(random_state=0)


@pytest.fixture(scope="module")
def model(toy):
    return fit(HierarchicalNMF(ranks=(9, 4), random_state=0), toy.X)


@pytest.fixture(scope="module")
def view(model, toy):
    texts = [
        f"{' '.join(np.array(toy.features)[row > 0][:12])} end {m}" for m, row in enumerate(toy.X)
    ]
    given = dict(features=toy.features, samples=toy.samples, documents=texts)
    return inspect(model.layers_, toy.X, by=np.arange(1900, 1990), **given)


def numbers(signs, columns):
    raw = np.frombuffer(zlib.decompress(unpacked(signs), -15), np.uint8).reshape(columns, 2, -1)
    return raw[:, 0] + 256 * raw[:, 1].astype(int)


def test_positions_are_those_of_the_map(view, model):
    want = map_positions(model)
    found = numbers(view.overview.packed()["positions"], 2).T
    low, side = want.min(axis=0), np.ptp(want, axis=0).max()
    assert found.max() == module.GRID - 1
    np.testing.assert_allclose(found, (want - low) / side * (module.GRID - 1), atol=0.5)
    assert module.grid_positions(np.zeros((3, 2))).tolist() == [[0, 0]] * 3


@pytest.mark.parametrize(
    ("by", "kind", "first"),
    [
        (np.arange(1900, 1990), "order", "1900–1901"),
        (np.linspace(0, 1, 90), "order", "0–0.02"),
        (pd.date_range("2001-01-01", periods=90), "order", "2000-12-31–2001-01-01"),
        (np.full(90, 7), "order", "7"),
        (pd.Series(["b", "a", None] * 30, name="side"), "group", "a"),
        (pd.Categorical(["b", "a", "b"] * 30, categories=["b", "a"]), "group", "b"),
        ([True, False] * 45, "group", "False"),
    ],
)
def test_bins_of_orders_and_groups(by, kind, first):
    bins = module.bins_of(by, 90)
    assert (bins.kind, bins.labels[0]) == (kind, first) and len(bins.starts) == len(bins.labels)
    assert len(bins.index) == 90 and set(bins.index) <= set(range(len(bins.labels)))
    if kind == "group":
        text = pd.Series(by).astype(object).where(pd.notna(pd.Series(by)), "missing").astype(str)
        assert [bins.labels[b] for b in bins.index] == list(text)
        return
    values = pd.Series(by)
    middle = values.groupby(bins.index).agg(["min", "max"])
    assert (middle["max"].to_numpy()[:-1] < middle["min"].to_numpy()[1:]).all()


def test_bins_that_are_empty_stay():
    bins = module.bins_of([1790, 1791, 2000], 3)
    assert len(bins.labels) == 43 and bins.index.tolist() == [0, 0, 42]


@pytest.mark.parametrize(
    ("by", "words"),
    [
        (np.arange(5), "by must be 90 numbers, dates or groups"),
        ([f"group {m}" for m in range(1001)], "1,001 different groups"),
        (np.r_[np.nan, np.arange(89)], "1 are missing"),
    ],
)
def test_what_is_no_order_is_said(by, words):
    with pytest.raises(ValueError, match=words):
        module.bins_of(by, len(by) if len(by) > 90 else 90)


def test_chosen_data_points_are_a_trait(view):
    seen = []
    view.observe(lambda change: seen.append(change.new), "selected_samples")
    view.selected_samples = np.array([7, 3, 3])
    assert view.selected_samples == [3, 7] == seen[-1]
    view.selected_samples = np.isin(np.arange(90), [3, 7])
    assert view.selected_samples == [3, 7] and len(seen) == 1
    for wrong in ([90], [-1], [1.5], [True], 3):
        with pytest.raises((ValueError, traitlets.TraitError)):
            view.selected_samples = wrong
    assert view.selected_samples == [3, 7] and view.widget.selected_samples == [3, 7]
    view.widget.selected_samples = [5]  # as the page does
    assert view.selected_samples == [5] and view.error == ""
    view.widget.selected_samples = [500]
    assert "from 0 to 89" in view.error and view.widget.selected_samples == [5]
    view.selected_samples, view.error = [], ""
    assert view.widget.selected_samples == []


def test_kernel_lists_what_is_chosen_and_in_bins(view):
    wanted = dict(layer=1, topic=2, start=0, query="", order="data")
    view.selected_samples = [40, 3, 41, 77]
    rows = _view.answer(view, {"list": wanted | dict(chosen=True)})["rows"]
    assert [row["m"] for row in rows] == [3, 40, 41, 77]
    years = [20, 21]  # 1940 to 1943
    found = _view.answer(view, {"list": wanted | dict(chosen=True, bins=years)})
    assert [row["m"] for row in found["rows"]] == [40, 41] and found["total"] == 2
    shares = exact_shares(view.model, 1)[2]
    want = [m for m in range(90) if shares[m] >= 0.04 and 40 <= m < 44]
    listed = _view.answer(view, {"list": wanted | dict(bins=years)})
    assert [row["m"] for row in listed["rows"]] == want
    assert _view.answer(view, {"numbers": wanted | dict(bins=years)})["numbers"] == want
    (row,) = _view.answer(view, {"list": wanted | dict(only=5)})["rows"]
    assert row == view.documents.row(5, 1)
    one = _view.answer(view, {"glance": 5, "topic": [1, 2]})
    assert one["name"] == view.documents.names[5] and one["shares"] == row["shares"]
    with pytest.raises(ValueError, match="there is no data point"):
        _view.answer(view, {"glance": 90, "topic": [1, 2]})
    view.selected_samples = []
    sent = _view.answer(view, {"overview": True})
    json.dumps(sent)
    assert numbers(sent["bins"], 1)[0].tolist() == view.overview.bins.index.tolist()


# --- the page -------------------------------------------------------------------------------------

LASSO = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.5), (0.02, 0.5)]


def drag(page, corners):
    dots = page.locator(".dots")
    dots.scroll_into_view_if_needed()
    box = dots.bounding_box()
    at = [(box["x"] + a * box["width"], box["y"] + b * box["height"]) for a, b in corners]
    page.mouse.move(*at[0])
    page.mouse.down()
    for x, y in at[1:]:
        page.mouse.move(x, y, steps=3)
    page.mouse.up()


def places_of(view, page):
    """Where the dots are, as parts of the width and height of the map."""
    cells = view.overview.positions().astype(float)
    box = page.locator(".dots").bounding_box()
    size = np.array([box["width"] - 2, page.locator(".dots").evaluate("(one) => one.clientHeight")])
    span = np.maximum(np.ptp(cells, axis=0), 1)
    scale = ((size - 24) / span).min()
    middle = (cells.max(axis=0) + cells.min(axis=0)) / 2
    return ((cells - middle) * scale + size / 2) / size


def chosen(page):
    text = page.locator(".choice h3").all_inner_texts()
    return int(text[0].split()[0]) if text else 0


@browser_tests
def test_map_is_colored_searched_and_read(open_page, view):
    view.selected_samples = []
    page = open_page(view)
    page.locator('.dots[data-drawn="1,all"]').wait_for()
    assert page.locator(".over .label").count() == 4
    page.locator('.layers [data-level="0"]').click()  # climbing recolors
    page.locator('.dots[data-drawn="0,all"]').wait_for()
    node(page, 0, 4).locator(".bar").click()  # a chosen topic is a heat map
    page.locator('.dots[data-drawn="0,4"]').wait_for()
    page.locator('.map [data-tool="all"]').click()
    page.locator('.dots[data-drawn="0,all"]').wait_for()
    # hover, click
    places, m = places_of(view, page), 17
    dots = page.locator(".dots")
    dots.scroll_into_view_if_needed()
    box = dots.bounding_box()
    at = (
        box["x"] + 1 + places[m, 0] * (box["width"] - 2),
        box["y"] + 1 + places[m, 1] * (box["height"] - 2),
    )
    page.mouse.move(*at)
    page.locator(".spot h3", has_text=view.documents.names[m]).wait_for()
    main = int(view.documents.shares(0)[m].argmax())
    words = view.documents.glance(m, 0)["words"]
    assert words and page.locator(".spot mark").all_inner_texts() == words[:8]
    assert page.locator(".spot .parts .num").first.inner_text() == (
        f"{view.documents.shares(0)[m, main]}%"
    )
    page.mouse.click(*at)
    page.locator(f'.documents [data-point="{m}"] .text.whole').wait_for()
    assert page.locator(".documents .example").count() == 1
    # the same by keys
    dots.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    name = page.locator(".spot h3").inner_text()
    page.keyboard.press("Enter")
    page.locator(".documents .example h3", has_text=name).wait_for()
    assert page.evaluate("document.activeElement.closest('.documents') !== null")
    page.locator('[data-tool="in"]').click()
    page.locator('[data-tool="whole"]').click()
    # what a search finds is marked, and only that
    before = page.locator(".dots canvas").evaluate("one => one.toDataURL()")
    found = int(view.documents.found("end 17").sum())
    page.locator("input[type=search]").fill("end 17")
    page.locator(".map .placing", has_text=f"{found} document").wait_for()
    assert 0 < found < 90
    assert page.locator(".dots canvas").evaluate("one => one.toDataURL()") != before
    page.locator("input[type=search]").fill("")
    page.locator(".map .placing", has_text="marked").wait_for(state="detached")
    assert page.locator(".dots canvas").evaluate("one => one.toDataURL()") == before
    assert page.locator(".alert").inner_text() == ""


# left, top, right and bottom of letters in the window, without the halo around them
CORNERS = """text => {
  const { x, y, width, height } = text.getBBox();
  const { a, d, e, f } = text.getScreenCTM();
  return [a * x + e, d * y + f, a * (x + width) + e, d * (y + height) + f];
}"""


@browser_tests
def test_labels_of_the_map_make_room(open_page, view):
    """No two labels overlap; one fades while a dot close to it is pointed at."""
    view.selected_samples = []
    page = open_page(view)
    page.locator('.layers [data-level="0"]').click()
    page.locator('.dots[data-drawn="0,all"]').wait_for()
    dots = page.locator(".dots")
    dots.scroll_into_view_if_needed()
    frame = dots.bounding_box()
    corners = np.array([one.evaluate(CORNERS) for one in page.locator(".over .tag text").all()])
    assert len(corners) > 5
    for n, a in enumerate(corners):
        for b in corners[:n]:
            assert min(a[2], b[2]) < max(a[0], b[0]) or min(a[3], b[3]) < max(a[1], b[1])
    size = np.array([frame["width"] - 2, frame["height"] - 2])
    dots_at = places_of(view, page) * size + (frame["x"] + 1, frame["y"] + 1)
    gap = np.maximum(corners[:, None, :2] - dots_at, dots_at - corners[:, None, 2:]).clip(0)
    label, m = np.unravel_index(gap.max(axis=2).argmin(), gap.shape[:2])
    assert page.locator(".over .tag.faded").count() == 0
    page.mouse.move(*dots_at[m])
    page.locator(".spot h3").wait_for()
    assert "faded" in page.locator(".over .tag").nth(int(label)).get_attribute("class")
    page.mouse.move(frame["x"] - 5, frame["y"] - 5)
    page.locator(".over .tag.faded").wait_for(state="detached")


@browser_tests
def test_map_stands_beside_the_ribbons_where_there_is_room(open_page, view):
    view.selected_samples = []
    page = open_page(view, 1400)
    page.locator('.dots[data-drawn="1,all"]').wait_for()
    boxes = [page.locator(one).bounding_box() for one in (".layers svg", ".dots", ".topic")]
    for left, right in itertools.pairwise(boxes):
        assert left["x"] + left["width"] < right["x"]
    assert all(box["y"] < 220 for box in boxes) and boxes[1]["y"] + boxes[1]["height"] < 900
    order = "[...document.querySelectorAll('.panes > *')].map((one) => one.classList[0])"
    assert page.evaluate(order)[:3] == ["layers", "map", "topic"]  # Tab follows the eye
    node(page, 0, 4).locator(".bar").click()
    page.locator('.dots[data-drawn="0,4"]').wait_for()
    assert page.evaluate("scrollY") == 0
    # without the map the ribbons take its room
    page.locator(".map summary").focus()
    page.keyboard.press("Enter")
    page.locator(".panes:not(.abreast)").wait_for()
    assert page.evaluate("document.activeElement.closest('.map') !== null")
    page.wait_for_function(
        f"document.querySelector('.layers svg').clientWidth > {boxes[0]['width']}"
    )
    page.keyboard.press("Enter")
    page.locator(".panes.abreast").wait_for()
    # below them where there is none, with levels of its own
    page.set_viewport_size({"width": 1000, "height": 900})
    page.locator(".panes:not(.abreast)").wait_for()
    assert page.evaluate(order)[:3] == ["layers", "topic", "map"]
    page.locator('.map [data-tool="level 1"]').click()
    page.locator('.dots[data-drawn^="1,"]').wait_for()
    layers, dots = (page.locator(one).bounding_box() for one in (".layers svg", ".dots"))
    assert dots["y"] > layers["y"] + layers["height"]
    # and on paper
    page.set_viewport_size({"width": 1400, "height": 900})
    page.locator(".panes.abreast").wait_for()
    page.emulate_media(media="print")
    below = "document.querySelector('.dots').getBoundingClientRect().top"
    assert page.evaluate(
        f"{below} > document.querySelector('.layers').getBoundingClientRect().bottom"
    )
    assert page.locator(".alert").inner_text() == ""


@browser_tests
def test_lasso_chooses_and_lists(open_page, view):
    view.selected_samples = []
    page = open_page(view)
    page.locator(".dots[data-drawn]").wait_for()
    drag(page, LASSO)
    page.locator(".choice h3").wait_for()
    places = places_of(view, page)
    inside = set(np.flatnonzero((places[:, 1] < 0.495) & (places > 0.02).all(axis=1)))
    about = set(np.flatnonzero(places[:, 1] < 0.505))
    kept = page.evaluate("document.querySelector('.choice h3').textContent")
    assert len(inside) <= int(kept.split()[0]) <= len(about) and len(inside) > 5
    page.locator(".said", has_text="chosen on the map").wait_for()
    listed = page.locator(".documents .example").evaluate_all(
        "all => all.map((one) => +one.dataset.point)"
    )
    assert set(listed) <= about
    with page.expect_download() as download:
        page.get_by_role("button", name="download as table").click()
    table = pd.read_csv(download.value.path())
    assert len(table) == chosen(page) and table.shape[1] == 2 + 4
    np.testing.assert_array_equal(table.iloc[:, 2:], view.documents.shares(1)[table["number"]])
    page.get_by_role("button", name="choose none").click()
    page.locator(".choice h3").wait_for(state="detached")
    # without a pointer: the whole list, and one dot more
    page.locator('[data-mode="all"]').click()
    page.locator('[data-mode="choose"]').focus()
    page.keyboard.press("Enter")
    page.locator(".choice h3").wait_for()
    n = int((view.documents.shares(1)[:, view.selected[1]] > 0).sum())
    assert chosen(page) == n
    page.locator(".dots").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.locator(".choice h3", has_text=f"{n - 1} ").wait_for()
    page.keyboard.press("Escape")
    page.locator(".choice h3").wait_for(state="detached")
    assert page.locator(".alert").inner_text() == ""


@browser_tests
def test_map_of_pictures_and_of_one_layer(open_page, toy):
    flat = fit(NMF(5, random_state=0), toy.X)
    view = inspect(flat, toy.X, shape=(29, 3), by=np.arange(90))
    page = open_page(view)
    page.locator('.dots[data-drawn="0,all"]').wait_for()
    assert page.locator(".over .tag").count() == page.locator(".over .tag image").count() > 2
    # pictures stand for topics in the river too, none of which has a name
    page.locator(".stream .face image").first.wait_for()
    assert page.locator(":is(.over, .stream) .label").count() == 0
    assert re.fullmatch(r"[125]0* data points?", page.locator(".river .scale").inner_text())
    page.locator(".dots").focus()
    page.keyboard.press("ArrowRight")
    name = page.locator(".spot h3", has_text="data point").inner_text()
    # its picture stands beside the map: red, green, blue and how much of it covers
    m, alphas = int(name.split()[-1]), "[...this.getImageData(0, 0, 3, 28).data]"
    seen = page.locator(".spot .thumbnail canvas").evaluate(
        "one => " + alphas.replace("this", "one.getContext('2d')")
    )
    want = _view.small_pictures(view.documents.parts)[m]
    assert want.shape == (28, 3) and want.max() == 255
    np.testing.assert_array_equal(np.reshape(seen, (28, 3, 4))[:, :, 3], want)
    page.keyboard.press("Enter")
    page.locator(".documents .example").first.wait_for()
    assert page.locator("img").count() == 0 and page.locator(".alert").inner_text() == ""


HEIGHTS = """(path) => path.getAttribute("d").slice(1).split("L")
  .map((at) => at.split(" ").map(Number))"""


@browser_tests
@pytest.mark.parametrize("axis", [None, np.geomspace(1, 9, 87)])
def test_map_of_curves(open_page, toy, axis):
    """A data point that is a curve is drawn beside the map, on its axis."""
    flat = fit(NMF(5, random_state=0), toy.X)
    view = inspect(flat, toy.X, features=axis, shape=(87,))
    page = open_page(view)
    page.locator('.dots[data-drawn="0,all"]').wait_for()
    page.locator(".dots").focus()
    page.keyboard.press("ArrowRight")
    m = int(page.locator(".spot h3", has_text="data point").inner_text().split()[-1])
    line = page.locator(".spot .thumbnail path[stroke]")
    x, y = np.array(line.evaluate(HEIGHTS)).T
    at = _view.thinned(np.arange(87.0) if axis is None else axis, 60)
    np.testing.assert_allclose(x, 300 * (at - at[0]) / (at[-1] - at[0]), atol=0.06)
    heights = _view.thinned(toy.X[m], 60)
    np.testing.assert_allclose(y, 98 - 94 * heights / heights.max(), atol=0.3)
    assert page.locator(".alert").inner_text() == ""


@browser_tests
def test_river_filters_map_and_documents(open_page, view):
    view.selected_samples = []
    page = open_page(view)
    stream = page.locator('.stream[data-drawn="1,all"]')
    stream.wait_for()
    assert stream.locator(".area").count() == 4
    stream.scroll_into_view_if_needed()
    box = stream.bounding_box()
    page.mouse.move(box["x"] + 0.201 * box["width"], box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.399 * box["width"], box["y"] + 60, steps=5)
    page.mouse.up()
    page.locator(".river", has_text="of 1918–1935 are shown").wait_for()  # bins 9 to 17 of 45
    assert "18 documents" in page.locator(".river [role=status]").inner_text()
    page.locator(".documents .said", has_text="of 1918–1935").wait_for()
    assert page.locator('[data-mode="examples"]').count() == 0  # they would be of all years
    l, j = view.selected
    shares = exact_shares(view.model, l)[j]
    want = {m for m in range(18, 36) if shares[m] >= 0.04}
    rows = page.locator(".documents .example")
    listed = rows.evaluate_all("all => all.map((one) => +one.dataset.point)")
    first = view.documents.copies
    folded = {m for m in want if first[m] != m and first[m] in want}
    assert set(listed) == want - folded != set()
    drag(page, [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)])
    page.locator(".choice h3", has_text="18 documents chosen").wait_for()  # of these years only
    # the same by keys, and another level
    page.locator('.river [data-tool="from"]').select_option("0")
    page.locator(".river", has_text="of 1900–1935 are shown").wait_for()
    page.locator('.river [data-tool="all"]').click()
    page.locator('.layers [data-level="0"]').click()
    page.locator('.stream[data-drawn="0,all"]').wait_for()
    node(page, 0, 5).locator(".bar").click()
    page.locator('.stream[data-drawn="0,5"]').wait_for()
    part = exact_shares(view.model, 0)[5].reshape(45, 2).mean(axis=1)
    shown = page.locator(".stream text.small", has_text=" in ").text_content()
    assert int(shown.split("%")[0]) == pytest.approx(100 * part.max(), abs=3)
    assert page.locator(".alert").inner_text() == ""


@browser_tests
def test_groups_filter_too(open_page, model, toy):
    sides = np.array(["left", "right", "up"])[np.arange(90) // 30]
    view = inspect(model.layers_, toy.X, by=pd.Series(sides, name="side"))
    page = open_page(view)
    rows = page.locator(".group-row")
    rows.nth(2).wait_for()
    assert rows.all_inner_texts() == ["left\n30", "right\n30", "up\n30"]
    rows.nth(1).focus()
    page.keyboard.press("Enter")
    page.locator(".river", has_text="30 data points of right are shown").wait_for()
    rows.nth(2).click()
    page.locator(".river", has_text="60 data points of right, up are shown").wait_for()
    page.locator('[data-mode="choose"]').click()
    page.locator(".choice h3").wait_for()
    share = exact_shares(model.layers_, view.selected[0])[view.selected[1]]
    assert chosen(page) == (share[30:] >= 0.04).sum()
    # the legend names the colors, and chooses; then it says how long a bar is
    keys = page.locator(".groups .key .chip")
    assert keys.evaluate_all("all => all.map((one) => one.dataset.key)") == [
        f"1,{j}" for j in view.payload["layers"][1]["order"]
    ]
    j = view.payload["layers"][1]["order"][-1]
    keys.last.click()
    page.locator(f'.groups[data-drawn="1,{j}"]').wait_for()
    most = max(exact_shares(model.layers_, 1)[j].reshape(3, 30).mean(axis=1))
    said = page.locator(".groups .legend").inner_text()
    assert int(re.search(r"whole bar is (\d+)%", said)[1]) == pytest.approx(100 * most, abs=1)
    assert page.locator(".alert").inner_text() == ""


@browser_tests
@pytest.mark.parametrize("kind", ["order", "group"])
def test_texts_on_map_and_river_stay_text(open_page, toy, kind):
    # names that are kept with the model are of one fit
    model = fit(HierarchicalNMF(ranks=(4, 2), random_state=0), toy.X)
    groups = pd.Series([f"{NASTY}{m % 3}" for m in range(90)], name=NASTY)
    view = inspect(
        model,
        toy.X,
        features=[f"{NASTY}{i}" for i in range(87)],
        samples=[NASTY + str(m) for m in range(90)],
        documents=[f"</script><script>document.title=1</script>{NASTY}{m}" for m in range(90)],
        by=groups if kind == "group" else pd.Series(np.arange(90), name=NASTY),
    )
    view.rename(1, 0, NASTY)
    view.selected_samples = [1, 2]
    page = open_page(view)
    page.locator(".choice h3", has_text="2 documents chosen").wait_for()
    page.locator(".dots").focus()
    page.keyboard.press("ArrowRight")
    page.locator(".spot h3", has_text="<img").wait_for()
    page.keyboard.press("Enter")
    page.locator(".documents .example .text.whole").wait_for()
    assert "<img" in page.locator(".river summary").inner_text()
    if kind == "group":
        page.locator(".group-row").first.click()
        page.locator(".river [role=status]", has_text="of <img").wait_for()
    node(page, 1, 0).locator(".bar").click()
    page.locator('.river [data-drawn="1,0"]').wait_for()
    assert page.locator("img").count() == 0 and page.title() != "1"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    assert page.locator(".alert").inner_text() == ""


@browser_tests
@pytest.mark.exhaustive
@pytest.mark.skipif("AXE" not in os.environ, reason="AXE does not name axe.min.js of axe-core")
@pytest.mark.parametrize("kind", ["order", "group"])
@pytest.mark.parametrize(("width", "scheme"), [(1200, "dark"), (400, "light")])
def test_accessibility_checker_finds_nothing_on_the_map(open_page, toy, model, width, scheme, kind):
    by = np.arange(90) if kind == "order" else np.repeat(["left", "right", "up"], 30)
    view = inspect(model.layers_, toy.X, features=toy.features, samples=toy.samples, by=by)
    view.selected_samples = [1, 2, 3]
    page = open_page(view, width, scheme)
    page.locator(".choice h3").wait_for()
    page.locator(".dots").focus()
    page.keyboard.press("ArrowRight")
    if kind == "group":
        page.locator(".group-row").first.click()
    with open(os.environ["AXE"], encoding="utf-8") as file:
        page.evaluate(file.read())
    result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in result["violations"]] == []
