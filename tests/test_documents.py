"""Documents of a view: shares, lists, search, near copies; and the same from a page without a
kernel, whose script is run in a browser.
"""

import json
import os
import re
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from test_inspector import NASTY, browser_tests, exact_shares, fit, node, open_page, shows

from nnmf_nb import SSNMF, HierarchicalNMF, datasets, inspect
from nnmf_nb.chain._layers import topic_features
from nnmf_nb.inspector import _documents as module
from nnmf_nb.inspector import _view

__all__ = ["open_page"]


@pytest.fixture(scope="module")
def genes():
    data = datasets.gene_ontology()
    model = fit(HierarchicalNMF(ranks=(12, 4), random_state=0, max_iter=60), data.X)
    texts = [f"{text}\n\nThe  end …" if m % 7 == 0 else text for m, text in enumerate(data.text)]
    return inspect(model, X=data.X, features=data.features, samples=data.samples, documents=texts)


def unpacked(signs):
    """The bytes behind `packed`, by another way than the page's."""
    value = {chr(sign): n for n, sign in enumerate(module.SIGNS)}
    drop, pairs = value[signs[0]], zip(signs[1::2], signs[2::2])
    bits = "".join(format(91 * value[a] + value[b], "013b") for a, b in pairs)
    whole = bytes(int(bits[n : n + 8], 2) for n in range(0, len(bits) - 7, 8))
    return whole[: len(bits) // 8 - drop]


@pytest.mark.parametrize("n", [0, 1, 2, 12, 13, 14, 1000])
def test_bytes_come_back(n):
    raw = np.random.default_rng(n).integers(0, 256, n, dtype=np.uint8).tobytes()
    signs = module.base91(raw)
    assert unpacked(signs) == raw and not set(signs) & set('"\\<\n ')
    assert zlib.decompress(unpacked(module.packed(raw)), -15) == raw


def test_a_page_has_as_many_names_as_there_are():
    names = zlib.decompress(unpacked(module.packed_strings(["a\0b", "", "größer"])), -15)
    assert names.decode().split("\0") == ["a b", "", "größer"]


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array, sp.csc_matrix])
def test_copies_of_rows_are_those_of_all_cosines(make):
    rng = np.random.default_rng(0)
    X = rng.random((160, 60)) ** 8
    X[X < 0.2] = 0
    X[40:60] = X[:20] * rng.uniform(0.7, 1.3, (20, 60)) * 3
    X[159] = 0
    length = np.maximum(np.linalg.norm(X, axis=1), 1e-300)
    cosine = X @ X.T / length / length[:, None]
    want = np.arange(160)
    for i in range(160):
        for j in range(i):
            if want[j] == j and cosine[i, j] >= 0.8:
                want[i] = j
                break
    assert (want != np.arange(160)).sum() >= 15
    np.testing.assert_array_equal(module.copies_of_rows(make(X)), want)


def test_tables_are_the_model_in_whole_percent(genes):
    layers, documents = genes.model.layers_, genes.documents
    for l in range(2):
        exact = exact_shares(layers, l).T
        shares = documents.shares(l)
        assert (np.abs(shares - 100 * exact)[shares > 0] <= 0.5 + 1e-9).all()
        np.testing.assert_array_equal(shares > 0, exact >= 0.04)
        said = topic_features(layers, l) * layers[l].S.sum(axis=1)
        said = said / np.maximum(said.sum(axis=1, keepdims=True), 1e-300)
        np.testing.assert_allclose(documents.word_shares(l), 100 * said, atol=0.5 + 1e-9)


def test_lists_are_sorted_and_fold_copies_of_rows(genes):
    documents, l, j = genes.documents, 1, 2
    shares, copies = documents.shares(l)[:, j].astype(int), documents.copies
    seen, start = [], 0
    while start < documents.listed(l, j)["total"]:
        seen += documents.listed(l, j, start)["rows"]
        start += module.PAGE_SIZE
    numbers = [row["m"] for row in seen]
    assert len(set(numbers)) == len(numbers) == documents.listed(l, j)["total"]
    assert numbers == sorted(numbers, key=lambda m: (-shares[m], m))
    folded = {m for m in np.flatnonzero(shares) if copies[m] != m and shares[copies[m]]}
    assert set(numbers) | folded == set(np.flatnonzero(shares)) and folded
    assert documents.listed(l, j)["copies"] == len(folded)
    assert (
        documents.listed(l, j)["main"]
        == (documents.shares(l).argmax(axis=1) == j)[shares > 0].sum()
    )
    row = next(row for row in seen if row["copies"])
    assert len(row["copies"]) == (copies == row["m"]).sum() - 1
    hits = documents.listed(l, j, query="Membrane PROTEIN", order="data")
    want = [
        "membrane" in (one := f"{name}\n{text}".lower()) and "protein" in one
        for name, text in zip(documents.names, documents.texts)
    ]
    assert hits["total"] + hits["copies"] == sum(want) > 0
    assert documents.listed(l, j, query="xyzzy") == dict(
        total=0, copies=0, main=0, start=0, rows=[]
    )


def test_documents_may_be_given_in_several_ways():
    toy = datasets.toy(random_state=0)
    model = fit(HierarchicalNMF(ranks=(4, 2), random_state=0), toy.X)
    texts = [f"text {m}" for m in range(90)]
    for given in (
        dict(documents=texts, samples=toy.samples),
        dict(samples=list(zip(toy.samples, texts))),
    ):
        view = inspect(model, toy.X, **given)
        assert view.documents.texts == texts and view.documents.names == list(toy.samples)
        assert view.payload["summary"].startswith("90 documents")
    assert inspect(model, documents=texts).documents.names[7] == "text 7"
    assert inspect(model).payload["summary"].startswith("90 data points")
    with pytest.raises(ValueError, match="one text per data point"):
        inspect(model, documents=texts[:3], samples=toy.samples)
    with pytest.raises(ValueError, match="names only"):
        inspect(model, documents=texts, samples=list(zip(toy.samples, texts)))


def test_page_tells_of_labels_and_the_certificate():
    toy = datasets.toy(random_state=0)
    y = toy.labels["level_4"]
    X = toy.X[::2]
    y, others = y[::2], y[1::2]
    model = fit(SSNMF(5, random_state=0, max_iter=20), X, y)
    view = inspect(model, X, y=y, held_out=(toy.X[1::2], others))
    (_, loss, _), (_, known, _), (what, unseen, _) = view.payload["scores"]
    B, S = model.classifiers_[0].B, model.layers_[0].S
    Y = (y == model.classes_[:, None]).astype(float)
    assert loss == pytest.approx(((Y - B @ S) ** 2).sum() / (Y**2).sum(), rel=1e-3)
    assert known == pytest.approx(model.score(X, y), abs=1e-4)
    assert unseen == pytest.approx(model.score(toy.X[1::2], others), abs=1e-4)
    assert "45 held-out" in what
    assert _view.certificate_of(model)["color"] == model.certificate_.color
    with pytest.raises(ValueError, match="fitted with labels"):
        inspect(fit(HierarchicalNMF((4, 2), random_state=0), toy.X), y=y)


def test_kernel_answers_what_the_page_asks(genes):
    wanted = dict(layer=1, topic=2, start=0, query="", order="share")
    assert _view.answer(genes, {"list": wanted}) == genes.documents.listed(1, 2)
    (name, i), *_ = _view.answer(genes, {"words": "membrane"})["words"]
    assert name == "membrane"
    parts = _view.answer(genes, {"word": i, "layer": 0})["parts"]
    assert sum(part for _, part in parts) == pytest.approx(1, abs=0.06)
    assert _view.answer(genes, {"certificate": True})["color"] in ("green", "amber", "red", "gray")
    for wrong in ({"word": -1, "layer": 0}, {"read": True, "topic": [0, 0]}):
        with pytest.raises(ValueError, match="there is no"):
            _view.answer(genes, wrong)


# --- the page -------------------------------------------------------------------------------------

ASK = """async ([data, packed, questions]) => {
  const view = { data, hasKernel: false, model: { get: () => packed } };
  const store = window.storeOf(view);
  return Promise.all(questions.map(([what, ...given]) => store[what](...given)));
}"""


@browser_tests
def test_page_answers_as_the_kernel_does(chromium, genes):
    documents, data = genes.documents, genes.payload
    whole = documents.packed("whole")
    page = chromium.new_page()
    code = _view.script("store.js") + "\nwindow.storeOf = storeOf;"
    page.add_script_tag(content=code, type="module")
    page.wait_for_function("() => Boolean(window.storeOf)")
    lists = [
        dict(layer=l, topic=j, start=start, query=query, order=order)
        for l, j, start, query, order in [
            (0, 0, 0, "", "share"),
            (0, 11, 12, "", "data"),
            (1, 2, 24, "", "share"),
            (1, 3, 0, "membrane", "share"),
            (0, 5, 0, "Protein BINDING", "data"),
            (1, 0, 5, "xyzzy", "share"),
        ]
    ]
    reads = [(m, l, j) for m, l, j in ((0, 0, 3), (7, 1, 2), (14, 1, 0), (100, 0, 5), (700, 1, 1))]
    words = ["membrane", "CELL", "zz", ""]
    questions = [
        *(["list", one] for one in lists),
        *(["read", *one] for one in reads),
        *(["words", one] for one in words),
        *(["word", i, l] for i in (0, 17, 200) for l in (0, 1)),
    ]
    answers = page.evaluate(ASK, [data, json.loads(json.dumps(whole)), questions])
    page.close()
    for one in lists:
        want = documents.listed(
            *(one[key] for key in ("layer", "topic", "start", "query", "order"))
        )
        found = answers.pop(0)
        assert [a == b or (a, b) for a, b in zip(found["rows"], want["rows"])] == [True] * len(
            want["rows"]
        )
        assert found == want
    for one in reads:
        found, want = answers.pop(0), documents.read(*one)
        assert found["text"] == want["text"]
        marks = dict(found["marks"])
        assert set(marks) == {word for word, _ in want["marks"]}
        assert all(marks[word] == pytest.approx(sure, rel=0.06) for word, sure in want["marks"])
    for one in words:
        assert answers.pop(0) == documents.words(one)
    for i in (0, 17, 200):
        for l in (0, 1):
            assert answers.pop(0) == documents.word(i, l)
    assert not answers


KERNEL = """(state) => {
  const model = window.standalone(state);
  window.asked = [];
  model.send = (question) => window.asked.push(question);
  const [hear, { on }] = [[], model];
  model.on = (event, f) => (event === "msg:custom" ? hear.push(f) : on(event, f));
  window.reply = (answers) => answers.forEach((one) => hear.forEach((f) => f(one)));
  window.model = model;
  window.render({ model, el: document.body });
}"""


@browser_tests
def test_a_busy_kernel_loses_no_click_and_no_answer(chromium, genes):
    """What a kernel says late is shown all the same, and rows of another list take no clicks."""
    page = chromium.new_page()
    page.clock.install()
    code = _view.script("inspector.js") + "\nObject.assign(window, { render, standalone });"
    page.add_script_tag(content=code, type="module")
    page.wait_for_function("() => Boolean(window.render)")
    state = dict(payload=genes.payload, names={}, selected=[1, 2], error="", has_kernel=True)
    page.evaluate(KERNEL, json.loads(json.dumps(state)))

    def answer(what):
        questions = page.evaluate("window.asked.splice(0)")
        assert what in [name for question in questions for name in question]
        answers = [_view.answer(genes, one) | {"answer": one["ask"]} for one in questions]
        page.evaluate("answers => window.reply(answers)", answers)

    page.locator(".fit > summary").click()
    # `details` say a little later that they open
    page.wait_for_function("() => window.asked.length")
    page.clock.fast_forward(5000)  # longer than the page waits
    answer("certificate")
    page.locator(".fit .certificate h2").wait_for()

    page.locator('[data-mode="all"]').click()
    examples = page.locator(".documents ol")
    assert examples.evaluate("list => list.inert && list.ariaBusy === 'true'")
    page.clock.fast_forward(5000)
    page.locator(".said", has_text="the kernel does not answer").wait_for()
    answer("list")
    page.locator(".pager", has_text="1–12 of").wait_for()
    assert not examples.evaluate("list => list.inert || list.ariaBusy === 'true'")

    row = page.locator(".example").first
    row.locator(".read").click()
    page.clock.fast_forward(5000)
    row.locator(".reading", has_text="the kernel does not answer").wait_for()
    answer("read")
    row.locator(".text.whole").wait_for()
    assert row.locator(".reading").inner_text() == "fold"

    page.evaluate("window.model.set('selected', [0, 3])")
    assert examples.evaluate("list => list.inert")
    answer("list")
    first = genes.documents.listed(0, 3)["rows"][0]["m"]
    page.locator(f'.example[data-point="{first}"]').wait_for()
    page.locator('[data-mode="examples"]').click()
    assert not examples.evaluate("list => list.inert")

    # after a restart nothing can be sent at all
    page.evaluate("() => { window.model.send = () => { throw new Error('it is closed'); }; }")
    page.locator(".rename").click()
    page.keyboard.type("too late")
    page.keyboard.press("Enter")
    page.locator(".alert", has_text="names are on this page only").wait_for()
    page.close()


@browser_tests
def test_lists_words_and_search_on_the_page(open_page, genes):
    page, layers = open_page(genes), genes.model.layers_
    node(page, 1, 2).click()
    page.get_by_role("button", name="all of this theme").click()
    page.locator(".pager", has_text="1–12 of").wait_for()
    exact = exact_shares(layers, 1)
    want = genes.documents.listed(1, 2)
    assert (
        f"{want['total']:,} documents + {want['copies']} near cop"
        in page.locator(".said").inner_text()
    )
    for one in page.locator(".example").all():
        m = int(one.get_attribute("data-point"))
        assert shows(one.locator(".line .num").inner_text(), exact[2, m])
        parts = one.locator(".parts .num").all_inner_texts()
        assert sum(int(part.rstrip("%")) for part in parts) == 100
        assert (
            one.locator(".parts button.emblem, .parts button")
            .first.get_attribute("data-key")
            .startswith("1,")
        )
    # paging by keys, and the whole text of a document that is no example
    page.get_by_role("button", name="next").focus()
    page.keyboard.press("Enter")
    page.locator(".pager", has_text="13–24 of").wait_for()
    assert page.evaluate("document.activeElement.dataset.page") == "next"
    page.locator(".read").first.focus()
    page.keyboard.press("Enter")
    page.locator(".example .text.whole").first.wait_for()
    # a word by keys: how much of it goes to which theme
    page.locator('.feature[data-rank="0"]').focus()
    page.keyboard.press("ArrowDown")
    name = page.locator('.feature[data-rank="1"] span').first.inner_text()
    page.locator(".word h3", has_text=name).wait_for()
    phi = topic_features(layers, 1) * layers[1].S.sum(axis=1)
    i = list(genes.documents.parts.known).index(name)
    shown = page.locator(".word li").all()
    assert shown
    for row in shown:
        key = (
            row.locator("button").get_attribute("data-key")
            if row.locator("button").count()
            else None
        )
        if key is not None:
            j = int(key.split(",")[1])
            assert shows(row.locator(".num").inner_text(), phi[i, j] / phi[i].sum())
    # the level of every pane follows one button
    page.locator('.levels [data-level="0"]').click()
    assert re.search(r"\btopic \d+ ·", page.locator(".topic .facts").inner_text())
    page.get_by_role("button", name="all of this topic").wait_for()
    # a search finds documents, says what it did not see, and goes away
    page.keyboard.press("/")
    page.keyboard.type("membrane")
    openings = [
        text if str(m) in genes.payload["points"] else module.shorten(text, 160)
        for m, text in enumerate(genes.documents.texts)
    ]
    both = zip(genes.documents.names, openings)
    hits = sum("membrane" in f"{name}\n{text}".lower() for name, text in both)
    assert 0 < hits < genes.documents.found("membrane").sum()
    page.locator(".said", has_text="with “membrane”").wait_for()
    page.locator(".search", has_text=f"{hits} documents").wait_for()
    assert "first 160 letters" in page.locator(".said").inner_text()
    assert page.locator("u.hit").count() > 0
    page.keyboard.press("Escape")
    page.locator(".pager", has_text="1–12 of").wait_for()
    assert page.locator(".alert").inner_text() == ""


@browser_tests
def test_texts_in_lists_stay_text(open_page):
    toy = datasets.toy(random_state=0)
    model = fit(HierarchicalNMF(ranks=(4, 2), random_state=0), toy.X)
    page = open_page(
        inspect(
            model,
            toy.X,
            features=[f"{NASTY}{i}" for i in range(87)],
            samples=[NASTY + str(m) for m in range(90)],
            documents=[f"</script><script>document.title=1</script>{NASTY}{m}" for m in range(90)],
        )
    )
    page.locator('[data-mode="all"]').click()
    page.locator(".said", has_text="with at least 4%").wait_for()
    for details in page.locator(".copies summary").all():
        details.click()
    for button in page.locator(".read").all():
        button.click()
    page.locator(".feature").nth(1).hover()
    page.locator(".word h3", has_text="<img").wait_for()
    page.locator("input[type=search]").fill('<img src=x onerror="document.title=1">')
    page.locator(".said", has_text="“<img").wait_for()
    assert page.locator("img").count() == 0 and page.title() != "1"
    assert page.locator(".alert").inner_text() == ""


@browser_tests
@pytest.mark.exhaustive
@pytest.mark.skipif("AXE" not in os.environ, reason="AXE does not name axe.min.js of axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_accessibility_checker_finds_nothing(open_page, genes, scheme, width):
    page = open_page(genes, width, scheme)
    page.get_by_text("How to read this page").click()
    page.get_by_text("How good is this fit?").click()
    page.locator('[data-mode="all"]').click()
    page.locator(".pager button").first.wait_for()
    page.locator(".read").first.click()
    page.locator("input[type=search]").fill("membrane")
    page.locator(".said", has_text="“membrane”").wait_for()
    with open(os.environ["AXE"], encoding="utf-8") as file:
        page.evaluate(file.read())
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert [
        (one["id"], one["nodes"][0]["html"][:200], one["nodes"][0].get("failureSummary"))
        for one in found["violations"]
    ] == []


def test_names_that_count_on_are_left_out():
    names = ["a 9", "a 10", "a 12", "b", "", "", "01", "02", "0", "1"]
    sent = module.counted_on(names)
    assert sent == ["a 9", "", "a 12", "b", " ", " ", "01", "", "0", ""]


def test_texts_are_codes_of_words():
    for texts in ([""], ["", ""], ["a"], ["a b", " a  b\n c…", NASTY.replace("\0", " ")]):
        made = module.packed_texts(texts)
        words = zlib.decompress(unpacked(made["words"]), -15).decode().split("\0")
        bits = "".join(format(byte, "08b") for byte in unpacked(made["codes"]))
        codes, code, at = {}, 0, 0
        for length, count in enumerate(made["lengths"]):
            code <<= 1
            for _ in range(count):
                codes[format(code, f"0{length}b")] = words[at]
                code, at = code + 1, at + 1
        found, part, text = [], "", ""
        for bit in bits:
            part += bit
            if part in codes and len(found) < len(texts):
                text += codes[part]
                if not codes[part]:
                    found.append(text[1:])
                    text = ""
                part = ""
        assert found == texts


def test_a_view_asks_for_nothing_that_nobody_reads(genes):
    parts = SimpleNamespace(**{**vars(genes.documents.parts), "X": None})
    documents = module.Documents(parts)
    assert not documents.tables and (documents.copies == np.arange(len(documents))).all()
