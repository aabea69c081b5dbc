"""Editing in the view: messages against calls in Python, refusals, refinement in steps; and the
page itself in a browser, with Python behind it and without.
"""

import json
import os
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from conftest import find_chromium

from nnmf_nb import HierarchicalNMF, datasets, inspect, replay, steer
from nnmf_nb.inspector._editing import KINDS, Corrected, Editor, Floors
from nnmf_nb.inspector._pages import script

CORPUS = datasets.planted_counts((8, 3), 150, 60, 80, None, 0)
X = CORPUS.X.astype(float)[:, :50]
WORDS = [f"word{i}" for i in range(50)]
POINTS = [f"text{i}" for i in range(150)]
NAMES = {"features": WORDS, "samples": POINTS}


@pytest.fixture(scope="module")
def chain():
    return HierarchicalNMF((8, 3), random_state=0).fit(X)


def session(model):
    return steer(model, X, **NAMES)


def at_once(work):
    """No loop will call it, so a refinement is done before a message has been handled."""
    return False


def first(edits, topic, n=3):
    """The n first words of a topic."""
    return [WORDS[w] for w in np.argsort(-edits.state.topic(topic), kind="stable")[:n]]


def weakest(edits, topic):
    return WORDS[int(np.argmin(edits.state.topic(topic)))]


# an edit as a page says it, and as Python says it
PAIRS = {
    "merge": (
        lambda e: dict(topics=["0:0", "0:1"]),
        lambda e: e.merge("0:0", "0:1"),
    ),
    "split": (lambda e: dict(topics=["0:2"]), lambda e: e.split("0:2")),
    "split by words": (
        lambda e: dict(topics=["0:2"], words=first(e, "0:2", 2)),
        lambda e: e.split("0:2", first(e, "0:2", 2)),
    ),
    "delete": (lambda e: dict(topics=["0:3"]), lambda e: e.delete("0:3")),
    "create": (
        lambda e: dict(words=first(e, "0:4")),
        lambda e: e.create(words=first(e, "0:4")),
    ),
    "create from points": (
        lambda e: dict(points=[3, 5, 7]),
        lambda e: e.create(points=["text3", "text5", "text7"]),
    ),
    "move": (lambda e: dict(topics=["0:0", "1:1"]), lambda e: e.move("0:0", "1:1")),
    "remove_words": (
        lambda e: dict(topics=["0:3"], words=first(e, "0:3", 2)),
        lambda e: e.remove_words("0:3", first(e, "0:3", 2)),
    ),
    "stop_words": (
        lambda e: dict(words=[weakest(e, "0:7")]),
        lambda e: e.stop_words([weakest(e, "0:7")]),
    ),
    "add_words": (
        lambda e: dict(topics=["0:3"], words=[weakest(e, "0:3")]),
        lambda e: e.add_words("0:3", [weakest(e, "0:3")]),
    ),
    "merge with a name": (
        lambda e: dict(topics=["0:0", "0:1"], value="trade"),
        lambda e: e.merge("0:0", "0:1", name="trade"),
    ),
    "pin": (lambda e: dict(topics=["1:0"]), lambda e: e.pin("1:0")),
    "pin without small parts": (
        lambda e: dict(topics=["1:0"], value="cut"),
        lambda e: e.pin("1:0", cut=0.01),
    ),
    "remove_from": (
        lambda e: dict(topics=["0:0"], points=[1, 0]),
        lambda e: e.remove_from(["text1", "text0"], "0:0"),
    ),
    "label": (
        lambda e: dict(points=[0, 1, 2], value="sport"),
        lambda e: e.label(POINTS[:3], "sport"),
    ),
    "rename": (
        lambda e: dict(topics=["0:0"], value="trade"),
        lambda e: e.rename("0:0", "trade"),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_message_leaves_the_record_of_the_call(chain, name):
    message, call = PAIRS[name]
    kind = name.split(" ")[0]
    by_page, by_hand = session(chain), session(chain)
    editor = Editor(by_page, later=at_once)
    before = by_page.state.digest()
    editor.hear({"do": "look", "kind": kind, **message(by_page)})
    assert editor.state["refused"] == ""
    preview = call(by_hand)
    if kind == "rename":  # there is nothing to look at
        assert editor.draft is None
    else:
        assert by_page.state.digest() == before and not by_page.log
        assert editor.draft.record == preview.record
        shown = editor.state["draft"]
        depths = zip(preview.errors_before, preview.errors_after, preview.instability)
        assert shown["depths"] == [list(one) for one in depths]
        assert shown["moved"] == len(preview.moved) and shown["pins"] == list(preview.pins)
        editor.hear({"do": "commit"})
    by_hand.commit(preview)
    editor.hear({"do": "refine", "n": 2, "others": "hold"})
    by_hand.refine(2, others="hold")
    assert by_page.log == by_hand.log and by_page.state.digest() == by_hand.state.digest()
    json.dumps(editor.state, allow_nan=False)
    editor.hear({"do": "undo"})
    assert editor.state["undone"] == 1
    editor.hear({"do": "redo"})
    assert by_page.state.digest() == by_hand.state.digest()


def test_every_kind_of_message_is_covered():
    assert {name.split(" ")[0] for name in PAIRS} | {"unpin"} == set(KINDS)


BAD = [
    None,
    [],
    "merge",
    {},
    {"do": 3},
    {"do": "__init__"},
    {"do": "_publish"},
    {"do": ["look"]},
    {"do": "look"},
    {"do": "look", "kind": "merge"},
    {"do": "look", "kind": "commit"},
    {"do": "look", "kind": ["merge"]},
    {"do": "look", "kind": "merge", "topics": ["0:0"]},
    {"do": "look", "kind": "merge", "topics": ["0:0", "0:0"]},
    {"do": "look", "kind": "merge", "topics": ["0:0", "1:0"]},
    {"do": "look", "kind": "merge", "topics": ["0:0", "9:9"]},
    {"do": "look", "kind": "merge", "topics": "0:0"},
    {"do": "look", "kind": "merge", "topics": [["0:0"], {}]},
    {"do": "look", "kind": "split", "topics": []},
    {"do": "look", "kind": "split", "topics": ["*"]},
    {"do": "look", "kind": "delete", "topics": ["0:1", "0:2"]},
    {"do": "look", "kind": "move", "topics": ["0:1"]},
    {"do": "look", "kind": "move", "topics": ["1:1", "0:1"]},
    {"do": "look", "kind": "remove_words", "topics": ["0:0"], "words": ["nowhere"]},
    {"do": "look", "kind": "remove_words", "topics": ["1:0"], "words": ["word1"]},
    {"do": "look", "kind": "add_words", "topics": ["0:0"], "words": [None]},
    {"do": "look", "kind": "stop_words", "words": "word1"},
    {"do": "look", "kind": "create"},
    {"do": "look", "kind": "label", "points": [150], "value": "a"},
    {"do": "look", "kind": "label", "points": [-1], "value": "a"},
    {"do": "look", "kind": "label", "points": [True], "value": "a"},
    {"do": "look", "kind": "label", "points": [1.0], "value": "a"},
    {"do": "look", "kind": "label", "points": [1], "value": ""},
    {"do": "look", "kind": "label", "points": [1], "value": {"a": 1}},
    {"do": "look", "kind": "label", "points": [1], "value": "a" * 10**6},
    {"do": "look", "kind": "unpin", "topics": ["0:0"]},
    {"do": "refine", "n": "5"},
    {"do": "refine", "n": True},
    {"do": "refine", "n": -1},
    {"do": "refine", "others": "all"},
    {"do": "refine", "others": ["pin"]},
    {"do": "interrupt"},
    {"do": "commit"},
    {"do": "redo"},
]


@pytest.mark.parametrize("message", BAD, ids=repr)
def test_a_bad_message_changes_nothing_and_is_answered(chain, message):
    edits = session(chain)
    editor = Editor(edits, later=at_once)
    before, state, revision = edits.state, edits.state.digest(), editor.state["revision"]
    assert editor.hear(message) == {}
    assert editor.state["refused"] and edits.state is before and not edits.log
    assert edits.state.digest() == state and editor.state["revision"] == revision
    assert editor.draft is None and editor.state["refining"] is None


def test_a_refused_edit_leaves_the_draft_and_says_what_helps(chain):
    edits = session(chain)
    editor = Editor(edits, later=at_once)
    editor.hear({"do": "look", "kind": "pin", "topics": ["0:2"]})
    editor.hear({"do": "commit"})
    editor.hear({"do": "look", "kind": "merge", "topics": ["0:0", "0:1"]})
    draft = editor.draft
    editor.hear({"do": "look", "kind": "delete", "topics": ["0:2"]})
    assert "unpin it first" in editor.state["refused"] and editor.draft is draft
    editor.hear({"do": "refine"})
    assert "Commit or discard" in editor.state["refused"]
    editor.hear({"do": "look", "kind": "rename", "topics": ["0:3"], "value": "0:2"})
    assert editor.draft is not draft and editor.draft.record == draft.record
    # a name that looks like an id is no id
    editor.hear({"do": "look", "kind": "delete", "topics": ["0:3"]})
    assert editor.draft.record.topics == ("0:3",)
    editor.hear({"do": "discard"})
    assert editor.state["draft"] is None and [one.kind for one in edits.log] == ["pin", "rename"]


def test_refinement_in_steps_can_be_watched_and_interrupted(chain):
    by_page, by_hand, waiting = session(chain), session(chain), []
    editor = Editor(by_page, later=lambda work: waiting.append(work) or True)
    editor.hear({"do": "refine", "n": 4, "others": "free"})
    seen = []
    while waiting:
        seen.append(editor.state["refining"])
        editor.hear({"do": "look", "kind": "delete", "topics": ["0:0"]})
        assert "running" in editor.state["refused"]
        waiting.pop()()
    by_hand.refine(4, others="free")
    assert by_page.state.digest() == by_hand.state.digest() and by_page.log == by_hand.log
    assert [(one["layer"], one["iteration"]) for one in seen[:5]] == [
        *((0, i) for i in range(1, 5)),
        (1, 1),
    ]
    assert editor.state["refining"] is None

    editor.hear({"do": "refine", "n": 50, "others": "free"})
    waiting.pop()()
    editor.hear({"do": "interrupt"})
    waiting.pop()()
    assert not waiting and by_page.log[-1].iterations == (2, 0)
    again = replay(chain, X, by_page.to_json(), **NAMES)
    assert again.state.digest() == by_page.state.digest()

    # an edit in Python in the middle of it wins, and the page says so
    editor.hear({"do": "refine", "n": 3, "others": "free"})
    by_page.commit(by_page.merge("0:0", "0:1"))
    log = by_page.log
    while waiting:
        waiting.pop()()
    assert by_page.log == log and "during the refinement" in editor.state["refused"]


def test_edits_in_python_are_noticed(chain):
    edits = session(chain)
    view = inspect(edits)
    view.editor.hear({"do": "look", "kind": "split", "topics": ["0:2"]})
    edits.commit(edits.merge("0:0", "0:1"))
    view.editor.hear({"do": "commit"})
    assert "in Python" in view.editor.state["refused"] and len(edits.log) == 1
    assert len(view.payload["layers"][0]["topics"]) == 7
    edits.undo()
    assert len(view.refresh().payload["layers"][0]["topics"]) == 8


def test_view_follows_the_edits(chain):
    edits = session(chain)
    view = inspect(edits, X)
    view.select(0, 4)
    colors = {one: topic["color"] for one, topic in zip(edits.state.ids[0], topics_of(view, 0))}
    view.editor.hear({"do": "look", "kind": "merge", "topics": ["0:0", "0:1"]})
    assert len(topics_of(view, 0)) == 8
    view.editor.hear({"do": "commit"})
    assert len(topics_of(view, 0)) == 7
    assert view.selected == edits.state.place("0:4")  # what was chosen stays so
    for one, topic in zip(edits.state.ids[0], topics_of(view, 0)):
        assert one == "t1" or topic["color"] == colors[one]
    assert {topic["color"] for topic in topics_of(view, 0)} < {*colors.values()}
    assert topics_of(view, 0)[-1]["color"] == colors["0:0"]  # of the first of the two
    shown = Corrected(edits, Floors(edits.corpus.data))
    for mine, other in zip(shown.layers_, edits.to_model().layers_):
        np.testing.assert_allclose(mine.S, other.S, atol=1e-8)
        np.testing.assert_allclose(mine.error, other.error)
        np.testing.assert_allclose(mine.floor, other.floor, atol=1e-9)
    assert shown.certificate_.color in ("green", "gray")
    view.select(*edits.state.place("t1"))
    view.editor.hear({"do": "undo"})
    assert len(topics_of(view, 0)) == 8 and view.selected[0] == 0
    view.rename(0, 2, "a name")
    assert edits.log[-1].kind == "rename" and edits.topics().loc["0:2", "name"] == "a name"
    view.editor.hear({"do": "undo"})
    assert view.names == {}
    rows = view.editor.hear({"do": "compare"})["rows"]
    assert rows == []  # a name changes no word


def topics_of(view, l):
    return view.payload["layers"][l]["topics"]


def test_labels_are_classes_of_the_card(chain):
    edits = session(chain)
    view = inspect(edits)
    view.editor.hear({"do": "look", "kind": "label", "points": [0, 1, 2], "value": "sport"})
    view.editor.hear({"do": "commit"})
    view.editor.hear({"do": "look", "kind": "label", "points": [80, 81], "value": "art"})
    view.editor.hear({"do": "commit"})
    found = {name for topic in topics_of(view, 1) for name, _ in topic["classes"]}
    assert found <= {"sport", "art"} and found
    assert view.editor.state["labels"] == {
        "0": "sport",
        "1": "sport",
        "2": "sport",
        "80": "art",
        "81": "art",
    }


def test_labels_of_models_are_no_labels_of_edits(chain):
    with pytest.raises(ValueError, match="edits.label"):
        inspect(session(chain), y=np.zeros(150))


# --- the page -------------------------------------------------------------------------------------

LACKING = [name for name in ("playwright", "anywidget") if find_spec(name) is None]
ABSENT = (
    f"{', '.join(LACKING)} not installed"
    if LACKING
    else "no chromium on the PATH"
    if find_chromium() is None
    else ""
)
browser_tests = pytest.mark.skipif(bool(ABSENT), reason=f"BROWSER TEST NOT RUN: {ABSENT}")

# A model of anywidget whose kernel is this process: `ask_python` hands over what the page did and
# gets the traits of the widget and its messages.
BRIDGE = """
const listeners = {};
const emit = (event, ...given) => { for (const one of listeners[event] || []) one(...given); };
let traits = INITIAL, changed = {};
function take({ traits: now, messages }) {
  const isNew = (n) => JSON.stringify(now[n]) !== JSON.stringify(traits[n]);
  const names = Object.keys(now).filter(isNew);
  for (const n of names) traits[n] = now[n];
  for (const n of names) emit(`change:${n}`);
  for (const message of messages) emit("msg:custom", message);
}
window.pull = () => ask_python({}, null).then(take);
const model = {
  get: (name) => traits[name],
  set(name, value) { traits[name] = changed[name] = value; emit(`change:${name}`); },
  on(event, work) { (listeners[event] ||= []).push(work); },
  off(event, work) { listeners[event] = (listeners[event] || []).filter((one) => one !== work); },
  save_changes() { const sent = changed; changed = {}; ask_python(sent, null).then(take); },
  send: (message) => { ask_python({}, message).then(take); },
};
window.model = model;
renderEditor({ model, el: document.getElementById("inspector") });
"""
TRAITS = ("payload", "names", "selected", "error", "editing", "has_kernel")


# how JupyterLab lays out lists of definitions in an output
OF_LAB = """
.jp-OutputArea-output dl { display: block; width: 100%; overflow: hidden; }
.jp-OutputArea-output dt { float: left; width: 20%; font-weight: bold; }
.jp-OutputArea-output dd { float: left; width: 80%; }
"""


class Bridge:
    """A widget, and the page that shows it."""

    def __init__(self, page, view):
        self.page, self.view, self.sent, self.last = page, view, [], {}
        self.widget = view.widget
        self.widget.send = lambda content, buffers=None: self.sent.append(content)

    def traits(self):
        return {name: getattr(self.widget, name) for name in TRAITS}

    def answer(self, changed, message):
        for name, value in changed.items():
            setattr(self.widget, name, value)
        if message is not None:
            self.widget._handle_custom_msg(message, [])
        messages, self.sent[:] = [*self.sent], []
        traits = {name: one for name, one in self.traits().items() if one != self.last.get(name)}
        self.last |= traits
        return json.loads(json.dumps(dict(traits=traits, messages=messages)))

    def open(self, path, more_rules=""):
        from nnmf_nb.inspector._pages import stylesheet

        initial = json.dumps(self.traits()).replace("<", "\\u003c")
        code = script("editor.js") + BRIDGE.replace("INITIAL", initial)
        rules = OF_LAB + stylesheet("editor.js") + more_rules
        path.write_text(
            f"<!doctype html><meta charset=utf-8><style>{rules}</style>"
            "<body class='nnmf-page jp-OutputArea-output'><div id=inspector></div>"
            f"<script type=module>{code}</script>"
        )
        self.page.expose_function("ask_python", self.answer)
        self.page.goto(path.as_uri())
        self.page.wait_for_selector(".node.selected")


@pytest.fixture
def new_page(chromium):
    """Pages without a network; errors and messages of the console fail the test."""
    contexts, trouble = [], []

    def made(width=1300, scheme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 1000},
            color_scheme=scheme,
            offline=True,
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(f"{error}\n{error.stack}"))
        return page

    yield made
    for context in contexts:
        context.close()
    assert not trouble, trouble


def shoot(page, name):
    if "SCREENSHOTS" in os.environ:
        page.screenshot(path=f"{os.environ['SCREENSHOTS']}/{name}.png")


def node(page, place):
    return page.locator(f'.node[data-key="{place[0]},{place[1]}"]')


def drag(page, start, end, before_drop=lambda: None):
    """Drag a topic on another one; return where it was dropped."""
    boxes = [node(page, one).locator(".hit").bounding_box() for one in (start, end)]
    spots = [(box["x"] + 30, box["y"] + box["height"] / 2) for box in boxes]
    page.mouse.move(*spots[0])
    page.mouse.down()
    page.mouse.move(spots[0][0] + 9, spots[0][1] + 9)
    page.mouse.move(*spots[1], steps=3)
    shoot(page, "drag")
    before_drop()
    page.mouse.up()
    return spots[1]


@pytest.mark.browser
@browser_tests
def test_gestures_with_a_kernel(chain, new_page, tmp_path):
    edits, twin = session(chain), session(chain)
    view = inspect(edits, X)
    page = new_page()
    Bridge(page, view).open(tmp_path / "page.html")
    draft, refused = page.locator(".draft"), page.locator(".refused")
    place = lambda topic: edits.state.place(topic)

    def commit_like(preview):
        """Press Enter on the draft, and check that it is what Python makes of the same words."""
        page.locator("button.commit").wait_for()
        assert page.evaluate("document.activeElement.className").endswith("commit")
        assert view.editor.draft.record == preview.record
        page.keyboard.press("Enter")
        draft.wait_for(state="hidden")
        twin.commit(preview)
        assert edits.log == twin.log and edits.state.digest() == twin.state.digest()
        assert refused.inner_text() == page.locator(".alert").inner_text() == ""

    assert "Drag a topic onto another one" in page.locator(".picking").inner_text()

    # merge: dragged, committed with the button; the page has one topic less
    drag(page, place("0:0"), place("0:1"))
    draft.locator(".figures").wait_for()
    for label in draft.locator(".figures dt").all():
        assert label.bounding_box()["height"] < 24, "one line, also within JupyterLab's rules"
    assert "merge “" in draft.inner_text() and page.locator(".node").count() == 11
    assert page.locator(".node.drafted").count() == 2
    shoot(page, "draft")
    commit_like(twin.merge("0:0", "0:1"))
    assert page.locator(".node").count() == 10

    # merge, by keys alone
    node(page, place("0:2")).click()
    target = edits.state.ids[0].index("0:3")
    page.keyboard.press("m")
    page.locator(".picking", has_text="picked up").wait_for()
    while page.evaluate("document.activeElement.dataset.key") != f"0,{target}":
        before = page.evaluate("document.activeElement.dataset.key")
        page.keyboard.press("ArrowDown")
        if page.evaluate("document.activeElement.dataset.key") == before:
            page.keyboard.press("Home")
    page.keyboard.press("Enter")
    commit_like(twin.merge("0:2", "0:3"))

    # move: by drag on a supertopic, and by the list
    drag(page, place("0:4"), place("1:1"))
    commit_like(twin.move("0:4", "1:1"))
    node(page, place("0:4")).click()
    page.locator("select.parents").select_option(str(place("1:0")[1]))
    commit_like(twin.move("0:4", "1:0"))

    # scissors: key and button; Escape discards
    node(page, place("0:5")).click()
    page.keyboard.press("s")
    draft.locator(".figures").wait_for()
    page.keyboard.press("Escape")
    draft.wait_for(state="hidden")
    page.get_by_role("button", name="split", exact=True).click()
    commit_like(twin.split("0:5"))

    # pin and unpin: what contradicts a pin is refused, with the way out
    node(page, place("0:6")).click()
    page.keyboard.press("p")
    commit_like(twin.pin("0:6"))
    assert node(page, place("0:6")).locator(".lock").count() == 1
    node(page, place("0:6")).focus()
    page.keyboard.press("Delete")
    refused.get_by_text("unpin it first").wait_for()
    assert draft.is_hidden() and len(edits.log) == len(twin.log)
    page.get_by_role("button", name="unpin").click()
    commit_like(twin.unpin("0:6"))

    # words: cross and key, added, split by, new topic, stop word
    words = first(edits, "0:6", 3)
    page.get_by_role("button", name=f"cross out {words[0]}", exact=True).click()
    commit_like(twin.remove_words("0:6", words[:1]))
    page.locator(".feature", has_text=words[1]).first.focus()
    page.keyboard.press("x")
    commit_like(twin.remove_words("0:6", words[1:2]))
    assert page.locator(".bounds .lost").all_inner_texts() == sorted(words[:2], key=WORDS.index)
    entry = page.locator(".entry input")
    added = weakest(edits, "0:6")
    entry.fill(f" {added} ,")
    entry.press("Enter")
    commit_like(twin.add_words("0:6", [added]))
    assert page.locator(".bounds .gained").all_inner_texts() == [added]
    strong = first(edits, "0:6", 1)
    entry.fill(strong[0])
    page.locator(".entry .split-by").click()
    draft.locator(".figures").wait_for()
    assert view.editor.draft.record == twin.split("0:6", strong).record
    page.locator("button.discard").click()
    draft.wait_for(state="hidden")
    entry.fill(strong[0])
    page.locator(".entry .create").click()
    commit_like(twin.create(words=strong))
    assert entry.input_value() == ""
    everywhere = next(w for w in first(edits, "1:0", 50)[::-1] if w not in (added, *strong))
    entry.fill(everywhere)
    page.locator(".entry .stop").click()
    commit_like(twin.stop_words([everywhere]))
    entry.fill("word5, nowhere")
    entry.press("Enter")
    refused.get_by_text("'nowhere' is no word").wait_for()

    # a name needs no draft
    node(page, place("0:6")).click()
    page.keyboard.press("r")
    page.keyboard.type("<em>trade</em>")
    page.keyboard.press("Enter")
    node(page, place("0:6")).locator(".name", has_text="<em>trade").wait_for()
    twin.commit(twin.rename("0:6", "<em>trade</em>"))
    assert edits.log == twin.log

    # data points: checked and labeled, taken out, a topic made of them
    boxes = page.locator("input.choice")
    chosen = [int(boxes.nth(n).get_attribute("data-point")) for n in range(2)]
    for n in range(2):
        boxes.nth(n).focus()
        page.keyboard.press("Space")
    field = page.locator(".point-tools input")
    field.fill("sport")
    field.press("Enter")
    commit_like(twin.label([POINTS[m] for m in chosen], "sport"))
    page.locator(".choosing .chip", has_text="sport").first.wait_for()
    page.locator(".take-out").click()
    commit_like(twin.remove_from([POINTS[m] for m in chosen], "0:6"))
    page.locator(".create-from").click()
    commit_like(twin.create(points=[POINTS[m] for m in chosen]))

    # what the map has selected is chosen
    page.evaluate("model.set('selected_samples', [4, 9, 11])")
    page.locator(".point-tools [role=status]", has_text="3 chosen").wait_for()
    page.locator(".point-tools input").fill("art")
    page.locator(".point-tools .label").click()
    commit_like(twin.label(["text4", "text9", "text11"], "art"))
    names = """all => all.map((one) => (one.getAttribute('aria-label') || one.textContent
      || (one.labels && one.labels[0]?.textContent) || '').trim())"""
    assert all(page.locator(".nnmf :is(button, input, select)").evaluate_all(names))

    # refine, delete, compare, undo and redo by keys
    page.locator("button.refine").click()
    page.locator("button.refine", has_text="interrupt").wait_for()
    while view.editor.state["refining"]:  # step by step, in the loop of this process
        page.wait_for_timeout(20)
    page.evaluate("pull()")
    page.locator(".log li", has_text="refine, 5 iterations").wait_for(state="attached")
    twin.refine(5)
    assert edits.state.digest() == twin.state.digest()
    node(page, place("0:7")).click()
    page.get_by_role("button", name="compare with before").click()
    page.locator(".comparison tr, .comparison p").first.wait_for()
    node(page, place("0:7")).focus()
    page.keyboard.press("Delete")
    page.locator(".comparison .lost").first.wait_for()
    assert page.locator(".node.drafted").count() == 1
    assert node(page, place("0:7")).evaluate("one => one.classList.contains('drafted')")
    shoot(page, "compare")
    page.locator("button.commit").focus()
    commit_like(twin.delete("0:7"))
    page.keyboard.press("Control+z")
    page.locator(".log summary", has_text=f"{len(edits.log)} edits").wait_for()
    until_log = len(twin.log) - 1
    page.wait_for_function(f"document.querySelectorAll('.log li').length === {until_log}")
    twin.undo()
    assert edits.state.digest() == twin.state.digest()
    page.keyboard.press("Control+Shift+z")
    page.wait_for_function(f"document.querySelectorAll('.log li').length === {until_log + 1}")
    assert edits.log[-1].kind == "delete"
    assert page.locator("em").count() == 0
    assert page.locator(".alert").inner_text() == ""
    shoot(page, "end")


# notebooks have such elements around an output: places in the window are other ones inside
MOVED = "#inspector { transform: translate(39px, 91px); contain: content; }"


@pytest.mark.browser
@browser_tests
def test_one_draft_on_a_page_that_stays_where_it_is(chain, new_page, tmp_path):
    edits = session(chain)
    view = inspect(edits, X)
    page = new_page()
    Bridge(page, view).open(tmp_path / "page.html", MOVED)
    draft, refused, log = (page.locator(one) for one in (".draft", ".refused", ".log li"))
    place = lambda topic: edits.state.place(topic)
    top_of = lambda topic: node(page, place(topic)).locator(".hit").bounding_box()["y"]

    def is_logged(n):
        page.wait_for_function(f"document.querySelectorAll('.log li').length === {n}")
        assert len(edits.log) == n

    # the label follows the pointer, nothing below it moves, and the merged topic gets a name
    height, ghosts = top_of("0:5"), []
    see_ghost = lambda: ghosts.append(page.locator(".ghost-topic").bounding_box())
    spot = drag(page, place("0:0"), place("0:1"), see_ghost)
    assert ghosts[0]["x"] == pytest.approx(spot[0] + 12, abs=1)
    assert ghosts[0]["y"] == pytest.approx(spot[1] + 10, abs=1)
    draft.locator(".figures").wait_for()
    assert top_of("0:5") == height
    draft.locator(".naming").fill("trade")
    page.keyboard.press("Enter")
    page.locator(".node.selected .name", has_text="trade").wait_for()
    assert edits.log[-1].value == "trade" and view.selected == place("t1")

    # words of one topic are one draft, a word that is crossed out again is back
    cross = lambda word: page.get_by_role("button", name=f"cross out {word}", exact=True)
    words = first(edits, "t1", 3)
    for word in words:
        cross(word).click()
    cross(words[1]).click()
    draft.get_by_text(f"cross out “{words[0]}”, “{words[2]}” in “trade”").wait_for()
    assert cross(words[0]).get_attribute("aria-pressed") == "true"
    assert cross(words[1]).get_attribute("aria-pressed") == "false"
    # those of another topic ask before they replace it
    node(page, place("0:4")).click()
    other = first(edits, "0:4", 1)
    cross(other[0]).click()
    page.get_by_text("The draft is not committed. Replace it by: cross out").wait_for()
    shoot(page, "replace")
    page.keyboard.press("Escape")
    page.locator(".replacing").wait_for(state="hidden")
    assert edits.log[-1].kind == "merge" and view.editor.draft.record.topics == ("t1",)
    assert view.editor.draft.record.words == (words[0], words[2])
    cross(other[0]).click()
    page.get_by_role("button", name="replace it").click()
    draft.get_by_text(f"cross out “{other[0]}” in “").wait_for()
    assert view.editor.draft.record.topics == ("0:4",)
    page.locator("button.commit").click()
    is_logged(2)

    # plain sentences, which Escape takes away; errors before and after a refinement
    node(page, place("0:4")).focus()
    page.keyboard.press("p")
    page.locator("button.commit").click()
    is_logged(3)
    node(page, place("0:4")).focus()
    height = top_of("0:5")
    page.keyboard.press("Delete")
    refused.get_by_text("Deleting would change the pinned topic “").wait_for()
    assert top_of("0:5") == height
    page.keyboard.press("Escape")
    page.wait_for_function("!document.querySelector('.refused').textContent")
    page.locator("button.refine").click()
    while view.editor.state["refining"]:
        page.wait_for_timeout(20)
    page.evaluate("pull()")
    is_logged(4)
    said = log.last.text_content()
    before, after = (edits.past_errors[n][0] for n in (3, 4))
    assert "other topics stay as they are: error " in said
    assert f"{before:.4f} → {after:.4f}" in said
    assert "Ctrl+Z" in page.locator("button.undo").get_attribute("title")

    # the page in a file, to read or to correct
    for kind, can_edit in (("read", False), ("correct", True)):
        with page.expect_download() as found:
            page.locator(".save-page").select_option(kind)
        saved = new_page()
        (tmp_path / "saved.html").write_bytes(Path(found.value.path()).read_bytes())
        saved.goto((tmp_path / "saved.html").as_uri())
        saved.wait_for_selector(".node.selected")
        assert (saved.locator(".log-file").count() == 1) is can_edit
        assert saved.locator(".node", has_text="trade").count() == 1
    assert page.locator(".alert").inner_text() == ""


def download(page):
    with page.expect_download() as found:
        page.locator(".log-file").click()
    return Path(found.value.path()).read_text()


@pytest.mark.browser
@browser_tests
def test_a_page_without_a_kernel_writes_a_log_that_replays(chain, new_page, tmp_path):
    edits = session(chain)
    edits.commit(edits.rename("0:5", "fifth"))
    view = inspect(edits, X)
    page = new_page()
    page.goto(view.to_html(tmp_path / "edits.html").as_uri())
    page.wait_for_selector(".node.selected")
    refused, log = page.locator(".refused"), page.locator(".log li")
    place = lambda topic: next(
        (l, ids.index(topic)) for l, ids in enumerate(view.editor.state["ids"]) if topic in ids
    )

    def written(preview):
        """The page has one more edit; Python makes the same one."""
        edits.commit(preview)
        page.wait_for_function(f"document.querySelectorAll('.log li').length === {len(edits.log)}")
        assert refused.inner_text() == page.locator(".alert").inner_text() == ""

    def called():
        """The name of the selected topic."""
        return (
            page.locator(".rename").locator("xpath=..").inner_text().removesuffix("rename").strip()
        )

    def says(sentence):
        refused.get_by_text(sentence).wait_for()
        assert log.count() == len(edits.log)

    drag(page, place("0:0"), place("0:1"))
    written(edits.merge("0:0", "0:1"))
    # either bar now stands for the new topic
    drag(page, place("0:1"), place("0:2"))
    written(edits.merge("t1", "0:2"))
    assert page.locator(".node.merged").count() == 3
    node(page, place("0:2")).click()
    assert page.locator(".topic-tools").get_by_text("Merged with “").count() == 1
    node(page, place("0:5")).click()
    page.keyboard.press("s")
    written(edits.split("0:5"))
    page.keyboard.press("s")
    says("was split or deleted")
    node(page, place("0:6")).click()
    page.keyboard.press("p")
    written(edits.pin("0:6"))
    assert node(page, place("0:6")).locator(".lock").count() == 1
    page.keyboard.press("Delete")
    says(f"Deleting would change the pinned topic “{called()}”; unpin it first")
    word = page.locator(".feature > span:first-child").first.inner_text()
    page.get_by_role("button", name=f"cross out {word}", exact=True).click()
    says("unpin it first")
    page.keyboard.press("Escape")
    node(page, place("0:6")).focus()
    page.keyboard.press("p")
    written(edits.unpin("0:6"))
    # a pinned supertopic holds all that it is made of
    top = next(t for t in ("1:0", "1:1", "1:2") if "0:6" in edits.pin(t).pins)
    node(page, place(top)).click()
    page.keyboard.press("p")
    written(edits.pin(top))
    node(page, place("0:6")).click()
    page.keyboard.press("Delete")
    part = called()
    node(page, place(top)).click()
    whole = called()
    node(page, place("0:6")).click()
    page.keyboard.press("Delete")
    says(f"the pinned topic “{whole}”, of which “{part}” is a part")
    node(page, place(top)).click()
    page.keyboard.press("p")
    written(edits.unpin(top))
    node(page, place("0:6")).click()
    page.get_by_role("button", name=f"cross out {word}", exact=True).click()
    written(edits.remove_words("0:6", [word]))
    entry = page.locator(".entry input")
    for text, sentence in (
        ("nowhere", "no word of this model"),
        (word, "both added to and removed"),
    ):
        entry.fill(text)
        entry.press("Enter")
        says(sentence)
    added = weakest(edits, "0:7")
    node(page, place("0:7")).click()
    entry.fill(added)
    entry.press("Enter")
    written(edits.add_words("0:7", [added]))
    boxes = page.locator("input.choice")
    chosen = [POINTS[int(boxes.nth(n).get_attribute("data-point"))] for n in range(2)]
    for n in range(2):
        boxes.nth(n).check()
    page.locator(".point-tools input").fill("sport")
    page.locator(".point-tools .label").click()
    written(edits.label(chosen, "sport"))
    page.locator("button.refine").click()
    edits.refine(5)
    page.wait_for_function(f"document.querySelectorAll('.log li').length === {len(edits.log)}")
    page.locator(".rename").click()
    page.keyboard.type("last")
    page.keyboard.press("Enter")
    written(edits.rename("0:7", "last"))
    node(page, place("0:7")).locator(".name", has_text="last").wait_for()
    drag(page, place("0:7"), place("1:1"))
    written(edits.move("0:7", "1:1"))
    page.locator("button.undo").click()
    page.wait_for_function(f"document.querySelectorAll('.log li').length === {len(edits.log) - 1}")
    page.locator("button.redo").click()
    page.wait_for_function(f"document.querySelectorAll('.log li').length === {len(edits.log)}")
    shoot(page, "written")

    text = download(page)
    again = replay(chain, X, text, **NAMES)
    assert again.state.digest() == edits.state.digest()
    assert [one.kind for one in again.log] == [one.kind for one in edits.log]
    assert again.state.titles == edits.state.titles and again.state.ids == edits.state.ids
    page.reload()  # what was written survives
    page.wait_for_selector(".node.selected")
    assert json.loads(download(page)) == json.loads(text)


PAYLOADS = [
    "<script>document.title='P0WN'</script>",
    "</script><script>document.title='P0WN'</script>",
    "<img src=x onerror=document.title='P0WN'>",
    "<img/src/onerror=document.title='P0WN'>",
    "<svg onload=document.title='P0WN'>",
    "<svg><script>document.title='P0WN'</script></svg>",
    "<body onload=document.title='P0WN'>",
    "<iframe srcdoc=\"<script>parent.document.title='P0WN'</script>\">",
    "<iframe src=javascript:parent.document.title='P0WN'>",
    "<a href=javascript:document.title='P0WN'>x</a>",
    "<input autofocus onfocus=document.title='P0WN'>",
    "<details open ontoggle=document.title='P0WN'>",
    "<video><source onerror=document.title='P0WN'></video>",
    "<math><mi xlink:href=javascript:document.title='P0WN'>x",
    "<object data=javascript:document.title='P0WN'>",
    "<style>@import 'x';*{color:red}</style>",
    "<link rel=stylesheet href=x>",
    "<meta http-equiv=refresh content='0;url=x'>",
    "<base href=x>",
    "<form action=x><button>go</button></form>",
    "<template><script>document.title='P0WN'</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=document.title=1>'>",
    "<!--><img src=x onerror=document.title='P0WN'>-->",
    "<![CDATA[<img src=x onerror=document.title='P0WN'>]]>",
    "\"><img src=x onerror=document.title='P0WN'>",
    "' onmouseover=document.title='P0WN' x='",
    "javascript:document.title='P0WN'",
    "${document.title='P0WN'}",
    "{{constructor.constructor('document.title=1')()}}",
    "\\u003cimg src=x onerror=document.title='P0WN'\\u003e",
    "&lt;img src=x onerror=document.title='P0WN'&gt;",
    "__proto__",
    "constructor",
]
ELEMENTS = (
    "script:not([type]), img, iframe, object, video, math, link, meta[http-equiv=refresh], base,"
    " form, template, a[href^=javascript], body [onload], body [onerror]"
)


@pytest.mark.browser
@browser_tests
@pytest.mark.parametrize("has_kernel", [pytest.param(True, marks=pytest.mark.exhaustive), False])
def test_names_and_words_stay_text(new_page, tmp_path, has_kernel):
    """Payloads as words, data points, names, classes and typed words: shown, never run."""
    assert len(PAYLOADS) == 33
    words = [*PAYLOADS, *(f"word{i}" for i in range(33, 50))]
    points = [*PAYLOADS, *(f"text{i}" for i in range(33, 150))]
    model = HierarchicalNMF((8, 3), random_state=0, max_iter=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X)
    edits = steer(model, X, features=words, samples=points)
    for n, text in enumerate(PAYLOADS):
        if n < 8:
            edits.commit(edits.rename(f"0:{n}", text))
        edits.commit(edits.label([points[n]], text))
    edits.commit(edits.add_words("0:0", PAYLOADS[1:3]))
    edits.commit(edits.remove_words("0:1", [PAYLOADS[0]]))
    view = inspect(edits, X)
    page = new_page()
    if has_kernel:
        Bridge(page, view).open(tmp_path / "page.html")
    else:
        page.goto(view.to_html(tmp_path / "edits.html").as_uri())
        page.wait_for_selector(".node.selected")
    title, before = page.title(), page.locator(ELEMENTS).count()
    entry = page.locator(".entry input")
    node(page, (0, 3)).click()
    for text in PAYLOADS[:: 4 if has_kernel else 1]:
        entry.fill(text)
        entry.press("Enter")
        if has_kernel:
            page.wait_for_function("document.querySelector('.draft .what, .refused:not(:empty)')")
    if has_kernel:
        assert PAYLOADS[-1] in page.locator(".draft .what").inner_text()
        page.locator("button.commit").click()
        page.locator("button.compare").click()
    for place in ((0, 0), (0, 1), (0, 7), (1, 0)):
        node(page, place).click()
        page.mouse.move(5, 5)
    drag(page, (0, 2), (0, 4))
    page.locator(".log summary").click()
    for mode in ("examples", "all"):
        page.locator(f'[data-mode="{mode}"]').click()
    page.locator("input.choice").first.check()
    page.locator(".point-tools input").fill(PAYLOADS[2])
    page.locator(".point-tools .label").click()
    page.wait_for_timeout(100)
    assert "<img" in page.locator(".edits").inner_text()
    assert page.locator(ELEMENTS).count() == before and page.title() == title
    assert page.locator(".alert").inner_text() == ""
