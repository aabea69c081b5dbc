"""Whatever text is given, in whatever place, is shown as text: 33 payloads that a page would run or
draw if it took them for HTML, on every kind of page.
"""

import numpy as np
import pandas as pd
import pytest
from test_editing import ELEMENTS, PAYLOADS
from test_inspector import browser_tests, fit, node
from test_overview import LASSO, drag

from nnmf_nb import NMF, HierarchicalNMF, LiveView, NonnegativeCP, compare, inspect
from nnmf_nb.apps._files import read, understand
from nnmf_nb.apps._form import App, preview
from nnmf_nb.inspector._pages import html_page

RNG = np.random.default_rng(0)
X = RNG.random((66, 33)) ** 6
POINTS = [*PAYLOADS, *(f"point {m}" for m in range(33))]
TEXTS = [f"{POINTS[m]} {PAYLOADS[m % 33]} and more" for m in range(66)]


@pytest.fixture
def open_html(chromium, tmp_path):
    """Opens a file from disk with the network off; fails on messages, errors and dialogs."""
    trouble = []
    context = chromium.new_context(offline=True, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: trouble.append(dialog.message))

    def opened(path):
        page.goto(path.as_uri())
        return page

    yield opened
    context.close()
    assert not trouble


def layers(**given):
    model = fit(HierarchicalNMF((6, 2), random_state=0), X)
    view = inspect(model, X, features=PAYLOADS, samples=POINTS, **given)
    view.names = {f"0,{n}": PAYLOADS[n] for n in range(5)} | {"1,0": PAYLOADS[30]}
    return view


def use_inspector(page):
    """Map, lasso, river, groups, documents, words, search."""
    page.wait_for_selector(".dots[data-drawn]")
    page.locator(".dots").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "Space", "Enter"):
        page.keyboard.press(key)
    page.locator(".choice h3", has_text="1 ").wait_for()
    drag(page, LASSO)
    page.wait_for_function("parseInt(document.querySelector('.choice h3').textContent) > 1")
    page.locator(".documents .said", has_text="chosen on the map").wait_for()
    page.locator(".documents .example").first.wait_for()
    for row in page.locator(".group-row").all()[:4]:
        row.click()
    for name in PAYLOADS[2], "__proto__":
        page.locator("input[type=search]").fill(name)
        page.locator(".map .placing", has_text="marked").wait_for()
        page.locator(".seen").wait_for()
    page.locator("input[type=search]").fill("")
    page.locator('[data-mode="all"]').click()
    for one in page.locator(".read").all()[:4]:
        one.click()
    if page.locator('.layers [data-level="0"]').count():
        page.locator('.layers [data-level="0"]').click()
    node(page, 0, 1).locator(".bar").click()
    for one in page.locator(".feature").all()[:2]:
        one.hover()
    assert page.locator(".alert").inner_text() == ""


def page_of_map(folder):
    return layers(documents=TEXTS, by=pd.Series(np.arange(66), name=PAYLOADS[1])).to_html(
        folder / "map.html", title=PAYLOADS[0], note=PAYLOADS[3]
    )


def page_of_groups(folder):
    groups = pd.Series([PAYLOADS[m % 33] for m in range(66)], name=PAYLOADS[2])
    return layers(documents=TEXTS, by=groups).to_html(folder / "groups.html", texts="whole")


def page_of_pictures(folder):
    model = fit(NMF(3, random_state=0), X)
    return inspect(model, X, samples=POINTS, shape=(11, 3)).to_html(folder / "pictures.html")


def page_of_tensor(folder):
    data = RNG.random((33, 33, 4))
    model = fit(NonnegativeCP(3, max_iter=10, n_init=1, random_state=0), data)
    names = [PAYLOADS, PAYLOADS, PAYLOADS[:4]]
    view = inspect(model, data, features=names, modes=PAYLOADS[:3])
    return view.to_html(folder / "tensor.html")


def page_of_comparison(folder):
    names = (PAYLOADS[0], PAYLOADS[2])
    two = [fit(NMF(k, random_state=0), X) for k in (5, 4)]
    found = compare(*two, features=PAYLOADS, names=names)
    given = dict(title=PAYLOADS[1], note=PAYLOADS[4], samples=POINTS)
    return found.to_html(folder / "compare.html", **given)


def page_of_report(folder):
    model = fit(HierarchicalNMF((6, 2), random_state=0), X)
    report = model.topic_report(X, features=PAYLOADS, samples=POINTS)
    return report.to_html(folder / "report.html", title=PAYLOADS[0])


LIVE = """
const model = { get: (name) => state[name], set() {}, save_changes() {}, on() {}, off() {},
  send() {} };
renderLive({ model, el });
"""


def page_of_live_view(folder):
    """A live view as the widget draws it, with texts also in what it says of the fit."""
    view = LiveView(features=PAYLOADS, share=0.5)
    fit(HierarchicalNMF((6, 2), random_state=0).set_callbacks(view), X)
    texts = dict(title=PAYLOADS[0], reason=PAYLOADS[2], error=PAYLOADS[3])
    state = dict(progress=view.progress | texts, frame=view.frame, curves=view.curves)
    path = folder / "live.html"
    path.write_text(html_page("live", "live.js", LIVE, state, ""), encoding="utf-8")
    return path


def page_of_preview(folder):
    """What the app says of files, of their names, and of what is wrong with them."""
    table = pd.DataFrame({"name": POINTS, "text": TEXTS})
    columns = table.rename(columns={"text": PAYLOADS[2], "name": PAYLOADS[0]})
    parts = []
    for n, one in enumerate((table, columns, pd.DataFrame(X, POINTS, PAYLOADS))):
        path = folder / f"{n}.csv"
        one.to_csv(path, index=n == 2)
        # payloads have more than the 60 letters of names that are guessed
        reading = understand([path], header=True)
        parts.append(preview(PAYLOADS[2], read([path], reading), reading))
    app = App()
    app.upload.value = tuple(
        {"name": f"a/{text.replace('/', '')}.txt", "content": text.encode()} for text in PAYLOADS
    )
    parts += [app.using.value, app.understood.value]
    parts += [App._alert(ValueError(text)) for text in PAYLOADS]
    path = folder / "preview.html"
    path.write_text(f"<!doctype html><title>app</title><body>{''.join(parts)}", encoding="utf-8")
    return path


@pytest.mark.browser
@browser_tests
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make",
    [
        page_of_map,
        page_of_groups,
        page_of_pictures,
        page_of_tensor,
        page_of_comparison,
        page_of_report,
        page_of_live_view,
        page_of_preview,
    ],
)
def test_texts_stay_texts(open_html, tmp_path, make):
    page = open_html(make(tmp_path))
    title, before = page.title(), page.locator(ELEMENTS).count()
    text = page.locator("body").inner_text()
    assert any(one in text for one in PAYLOADS) and "P0WN" in text
    if page.locator(".dots").count():
        use_inspector(page)
    for one in page.locator(".facing .node").all():
        one.locator(".name").click()
    for one in page.locator("summary, .live button:enabled").all():
        one.click()
    page.wait_for_timeout(100)
    assert page.locator(ELEMENTS).count() == before == 0
    assert page.title() == title != "P0WN"
