"""Corrections by hand: guarantees of every edit, refusals, and logs that make the same bits."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnmf_nb import NMF, SSNMF, HierarchicalNMF, NeuralNMF, datasets, load, replay, save, steer
from nnmf_nb.steering import apply

CORPUS = datasets.planted_counts((8, 3), 150, 60, 80, None, 0)
X = CORPUS.X.astype(float)[:, :50]
WORDS = [f"word{i}" for i in range(50)]
POINTS = [f"text{i}" for i in range(150)]
NAMES = {"features": WORDS, "samples": POINTS}


@pytest.fixture(scope="module", params=["flat", "hierarchical", "neural", "deep"])
def model(request):
    kinds = {
        "flat": NMF(8, random_state=0),
        "hierarchical": HierarchicalNMF((8, 3), random_state=0),
        "neural": NeuralNMF((8, 3), random_state=0, max_iter=20),
        "deep": HierarchicalNMF((8, 5, 2), random_state=0),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 20 iterations are few
        return kinds[request.param].fit(X)


@pytest.fixture(scope="module")
def chain():
    return HierarchicalNMF((8, 3), random_state=0).fit(X)


def first(edits, topic, n=3):
    """The n first words of a topic."""
    return [WORDS[w] for w in np.argsort(-edits.state.topic(topic), kind="stable")[:n]]


def unused(edits, topic):
    """The first word that a topic does not have."""
    return WORDS[int(np.flatnonzero(edits.state.topic(topic) == 0)[0])]


def every_edit(edits):
    """One preview of every kind in the first layer, made at once."""
    lowest = WORDS[int(np.argmin(edits.state.topic("0:3")))]
    yield edits.merge("0:0", "0:1")
    yield edits.split("0:2")
    yield edits.split("0:2", first(edits, "0:2", 2))
    yield edits.delete("0:3")
    yield edits.create(words=first(edits, "0:4", 3))
    yield edits.create(points=POINTS[:3])
    yield edits.remove_words("0:3", first(edits, "0:3", 2))
    yield edits.stop_words([unused(edits, "0:7")])
    yield edits.add_words("0:3", [lowest])
    yield edits.remove_from(POINTS[:2], "0:0")
    yield edits.label(POINTS[:4], "sport")
    yield edits.pin("0:6")
    yield edits.rename("0:0", "trade")
    if len(edits.state.A) > 1:
        yield edits.move("0:0", "1:1")


def assert_sound(edits):
    """Everything promised of a state."""
    for one in edits.certificate():
        assert one.kkt < 1e-9 and one.lowest == 0 and one.rank > 0
    state = edits.state
    for topic, i in state.excluded:
        layer, j = state.place(topic)
        assert state.S[layer][j, i] == 0
    for topic, w in state.removed:
        rows = state.A[0][w] if topic == "*" else state.A[0][w, state.ids[0].index(topic)]
        assert not np.any(rows)
    for topic, w, bound in state.added:
        assert state.A[0][w, state.ids[0].index(topic)] >= bound * (1 - 1e-12)
    for A in state.A:
        assert np.allclose(np.linalg.norm(A, axis=0), 1)
    bound = {part for part, _ in state.parents}
    for part in bound:
        layer, i = state.place(part)
        above = {state.ids[layer + 1][j] for j in np.flatnonzero(state.A[layer + 1][i])}
        assert above <= {one for name, one in state.parents if name == part}


@pytest.mark.parametrize("others", ["pin", "hold", "free"])
def test_every_edit_does_what_it_says_and_refining_never_raises_the_objective(model, others):
    edits = steer(model, X, **NAMES)
    edits.commit(edits.pin("0:7"))
    pinned, digest = edits.state.topic("0:7"), edits.state.digest()
    n = len(list(every_edit(edits)))
    assert edits.state.digest() == digest and len(edits.log) == 1  # a preview changes nothing
    for i in range(n):
        preview = list(every_edit(edits))[i]
        if preview.record.kind != "merge":
            assert preview.adherence == 1 or preview.record.kind == "split"
        assert preview.instability[0] == 0
        edits.commit(preview)
        assert_sound(edits)
        before = {t: edits.state.A[0][:, j] for j, t in enumerate(edits.state.ids[0])}
        found = edits.refine(3, others=others)
        assert_sound(edits)
        for values in found.objectives:
            assert all(b <= a + 1e-13 for a, b in zip(values, values[1:]))
        assert np.array_equal(edits.state.topic("0:7"), pinned)
        if others == "pin":
            for topic in set(before) - edits.state.touched:
                j = edits.state.ids[0].index(topic)
                assert np.array_equal(edits.state.A[0][:, j], before[topic])
        edits.undo(), edits.undo()
        assert edits.state.digest() == digest


def test_supertopics_change_as_said(chain):
    edits = steer(chain, X, **NAMES)

    def directions(state):
        return {t: state.topic(t) / np.linalg.norm(state.topic(t)) for t in state.ids[1]}

    before, words = directions(edits.state), np.array(first(edits, "0:3", 2))
    after = directions(edits.split("0:2").state)
    assert all(np.allclose(after[t], before[t], atol=1e-12) for t in before)
    state, is_out = edits.remove_words("0:3", words).state, np.isin(WORDS, words)
    others = {t: np.where(is_out, 0, before[t]) for t in before}
    old = edits.state.A[0][:, 3] * is_out
    assert np.linalg.norm(old) > 0
    for topic in before:
        phi, same = state.topic(topic)[~is_out], others[topic][~is_out]
        assert np.isclose(phi @ same, np.linalg.norm(phi) * np.linalg.norm(same))
    preview = edits.merge("1:0", "1:1")
    assert preview.state.A[0] is edits.state.A[0] and preview.state.S[0] is edits.state.S[0]
    assert np.array_equal(preview.state.A[1][:, 0], edits.state.A[1][:, 2])
    moved = edits.move("0:0", "1:1").state
    assert np.flatnonzero(moved.A[1][0]).tolist() == [1]


def drift(edits, start):
    """How far topics that the last edit did not touch are from a state, at most."""
    others = set(edits.state.ids[0]) - edits.state.touched
    return max(np.linalg.norm(edits.state.topic(t) - start.topic(t)) for t in others)


def test_several_refinements_hold_topics_to_the_edit(chain):
    edits = steer(chain, X, **NAMES)
    edits.commit(edits.merge("0:0", "0:1"))
    edits.refine(3)
    edits.commit(edits.delete("0:2"))
    start = edits.state
    for _ in range(10):
        edits.refine(5, others="hold")
    assert edits.state.reference is start.A
    held = drift(edits, start)
    for _ in range(10):
        edits.undo()
    for _ in range(10):  # as if every refinement held to its own start
        edits.refine(5, others="hold")
        last = edits._past[-1]
        edits._past[-1] = (replace(last[0], reference=last[0].A), *last[1:])
    assert 0 < held < 0.5 * drift(edits, start)


def test_a_pin_or_a_name_leaves_what_is_trained(chain):
    edits = steer(chain, X, **NAMES)
    edits.commit(edits.merge("0:0", "0:1"))
    merged = edits.state
    assert edits.rename("0:3", "trade").touched == ("0:3",)
    pin = edits.pin("1:0")
    assert pin.touched == ("1:0", *pin.pins) and len(pin.pins) > 1
    edits.commit(edits.rename("0:3", "trade"))
    edits.commit(edits.pin("0:5"))
    edits.commit(edits.unpin("0:5"))
    assert edits.state.touched == merged.touched and edits.state.reference is merged.A
    edits.refine(3)
    assert not np.array_equal(edits.state.topic("t1"), merged.topic("t1"))
    assert np.array_equal(edits.state.topic("0:3"), merged.topic("0:3"))


def test_words_that_were_dragged_stay_in_their_part(chain):
    edits = steer(chain, X, **NAMES)
    words = first(edits, "0:2", 4)[1:]
    edits.commit(edits.add_words("0:2", words[:1]))
    preview = edits.commit(edits.split("0:2", words))
    column = edits.state.topic("t1")
    assert not edits.state.topic("t2")[[WORDS.index(w) for w in words]].any()
    tenth = np.sort(column)[-10]
    for n in range(2):
        assert set(words) <= set(first(edits, "t1", 20))
        edits.refine(10 * (n + 1), others="free")
        assert_sound(edits)
    bounds = {w: bound for topic, w, bound in edits.state.added if topic == "t1"}
    assert {WORDS[w] for w in bounds} == set(words) and preview.adherence == 1
    assert min(edits.state.topic("t1")[list(bounds)]) > 0.5 * tenth
    assert not [one for one in edits.state.added if one[0] == "t2"]


def test_a_topic_that_was_moved_stays_with_its_supertopic(chain):
    edits = steer(chain, X, **NAMES)

    def parents(topic):
        row = edits.state.A[1][edits.state.ids[0].index(topic)]
        return {edits.state.ids[1][j] for j in np.flatnonzero(row)}

    edits.commit(edits.move("0:0", "1:1"))
    edits.commit(edits.move("0:1", "1:1"))
    edits.commit(edits.move("0:2", "1:2"))
    edits.commit(edits.add_words("0:5", ["word1"]))
    edits.refine(10, others="free")
    assert [parents(t) for t in ("0:0", "0:1", "0:2")] == [{"1:1"}, {"1:1"}, {"1:2"}]
    preview = edits.commit(edits.merge("0:0", "0:1"))
    assert edits.state.parents >= {("t1", "1:1")} and preview.notes == ()
    edits.commit(edits.split("0:2"))
    edits.refine(5, others="free")
    assert parents("t1") == {"1:1"} and parents("t2") == parents("t3") == {"1:2"}
    edits.commit(edits.merge("1:1", "1:0"))
    assert parents("t1") == {"t4"}
    preview = edits.merge("t1", "0:6")
    assert preview.notes == ("t1 was moved; the merged topic may go to any supertopic.",)
    assert_sound(edits)


def test_a_merged_topic_gets_a_name(chain):
    edits = steer(chain, X, **NAMES)
    edits.commit(edits.rename("0:0", "old"))
    edits.commit(edits.merge("0:0", "0:1", name="trade"))
    assert edits.state.titles == (("t1", "trade"),)
    assert edits.delete("trade").record.topics == ("t1",)
    assert "edits.merge('0:0', '0:1', name='trade')" in edits.to_code()
    again = replay(chain, X, edits.to_json(), **NAMES)
    assert again.state.titles == edits.state.titles


def test_small_parts_can_be_cut_before_a_pin(chain):
    edits = steer(chain, X, **NAMES)
    column = edits.state.A[1][:, 0]
    share = np.sort(column / column.sum())
    cut = float(share[share > 0][:2].mean())  # between the smallest part and the next one
    plain, fewer = edits.pin("1:0"), edits.pin("1:0", cut=cut)
    assert len(fewer.pins) == len(plain.pins) - 1 and plain.adherence == 1
    assert fewer.adherence > 0.8 and plain.errors_after == plain.errors_before
    edits.commit(fewer)
    pinned = edits.state.A[1][:, 0]
    assert_sound(edits)
    edits.refine(5, others="free")
    assert np.array_equal(edits.state.A[1][:, 0], pinned)
    assert np.count_nonzero(pinned) == np.count_nonzero(column) - 1
    assert replay(chain, X, edits.to_json(), **NAMES).state.digest() == edits.state.digest()
    assert f"cut={cut}" in edits.to_code()
    with pytest.raises(ValueError, match="must be a share"):
        edits.pin("1:1", cut=1.0)


def test_the_preview_of_a_pin_offers_to_cut(chain):
    edits = steer(chain, X, **NAMES)
    A = edits.state.A[1].copy()
    A[:, 0] = [0.001, 0.002, 0.5, 0.5, 0.5, 0.3, 0, 0]
    past = edits._past[0]
    edits._past[0] = (replace(past[0], A=(edits.state.A[0], A)), *past[1:])
    (note,) = edits.pin("1:0").notes
    assert note == "Without parts below 1% of it there would be 4 (cut=0.01)."
    assert len(edits.pin("1:0").pins) == 6 and len(edits.pin("1:0", cut=0.01).pins) == 4
    edits.commit(edits.pin("1:0", cut=0.01))
    assert edits.pin("0:0").notes == ()


def test_what_an_edit_ends_is_said(chain):
    edits = steer(chain, X, **NAMES)
    word = first(edits, "0:0", 1)[0]
    edits.commit(edits.remove_words("0:0", [word]))
    edits.commit(edits.remove_from(POINTS[:1], "0:1"))
    preview = edits.merge("0:0", "0:1")
    assert preview.notes == (
        f"{word}: removed from 0:0 only, so the merged topic may have it again.",
        "text0: taken out of 0:1 only, so the merged topic may have it again.",
    )
    assert preview.notes[0] in str(preview)
    edits.commit(edits.remove_words("0:1", [word]))
    assert len(edits.merge("0:0", "0:1").notes) == 1  # both had it
    edits.commit(edits.label(POINTS[:3], "art"))
    preview = edits.commit(edits.label(POINTS[2:5], "sport"))
    assert preview.notes == ("1 of the data points had another label; the later one counts.",)
    assert dict(edits.state.labels) == {0: "art", 1: "art", 2: "sport", 3: "sport", 4: "sport"}
    assert edits.label(POINTS[:2], "art").notes == ()


@pytest.fixture(scope="module")
def of_two_lengths():
    """The same two lower layers with columns of very different lengths in A_1, and of length 1."""
    rng = np.random.default_rng(1)
    X = rng.gamma(0.3, 1.0, (200, 10)) @ rng.gamma(0.2, 1.0, (10, 60)) + 0.05 * rng.random(
        (200, 60)
    )
    ranks = (10, 5, 3)
    first, between, last = [
        one.A for one in NeuralNMF(ranks, random_state=0, max_iter=100).fit(X).layers_
    ]
    size = np.array([1.5, 0.1, 0.2, 0.1, 1.0])
    free = [first, between / np.linalg.norm(between, axis=0) * size, last]
    unit = [first, free[1] / size, size[:, None] * last]
    fits = [
        NeuralNMF(ranks, init=free, max_iter=0).fit(X),
        NeuralNMF(ranks, init=unit, max_iter=0, cost="energy").fit(X),
    ]
    assert np.ptp(np.linalg.norm(fits[0].layers_[1].A, axis=0)) > 1
    np.testing.assert_allclose(np.linalg.norm(fits[1].layers_[1].A, axis=0), 1)
    return [steer(one, X) for one in fits]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "edit",
    [
        lambda edits: edits.move("0:0", "1:1"),
        lambda edits: edits.move("0:6", "1:4"),
        lambda edits: edits.split("1:1"),
        lambda edits: edits.merge("1:0", "1:3"),
        lambda edits: edits.delete("1:2"),
    ],
    ids=["move", "move to another", "split", "merge", "delete"],
)
def test_edits_between_two_layers_do_not_depend_on_lengths(of_two_lengths, edit):
    states = []
    for edits in of_two_lengths:
        edits.commit(edit(edits))
        states.append(edits.state)
        edits.undo()
    free, unit = (state.A[1] / np.linalg.norm(state.A[1], axis=0) for state in states)
    assert states[0].ids == states[1].ids
    np.testing.assert_allclose(free, unit, atol=1e-8)


def test_a_pinned_supertopic_holds_its_parts(chain):
    edits = steer(chain, X, **NAMES)
    preview = edits.commit(edits.pin("1:0"))
    parts = [edits.state.ids[0][i] for i in np.flatnonzero(edits.state.A[1][:, 0])]
    assert set(preview.pins) == set(parts)
    before = {t: edits.state.A[0][:, edits.state.ids[0].index(t)] for t in parts}
    column = edits.state.A[1][:, 0]
    edits.refine(5, others="free")
    assert np.array_equal(edits.state.A[1][:, 0], column)
    assert all(np.array_equal(edits.state.topic(t), before[t]) for t in parts)
    for change in (
        lambda: edits.delete(parts[0]),
        lambda: edits.merge(*parts[:2]),
        lambda: edits.split(parts[0]),
        lambda: edits.remove_words(parts[0], ["word1"]),
        lambda: edits.add_words(parts[0], ["word1"]),
    ):
        with pytest.raises(ValueError, match="of which .* is a part; unpin it first"):
            change()


ADDED = "word1"


def stopped(edits):
    """The stop word of a session."""
    return WORDS[next(w for topic, w in edits.state.removed if topic == "*")]


REFUSALS = {
    "word unknown": (lambda e: e.add_words("0:0", ["word"]), "is no word of this model; similar"),
    "point unknown": (lambda e: e.remove_from(["txt1"], "0:0"), "is no data point"),
    "topic unknown": (lambda e: e.delete("t9"), "There is no topic 't9'; topics are"),
    "two layers": (lambda e: e.merge("0:0", "1:0"), "lie in different layers"),
    "one topic": (lambda e: e.merge("0:0"), "two different topics"),
    "topic twice": (lambda e: e.merge("0:0", "0:0"), "names a topic twice"),
    "no words": (lambda e: e.remove_words("0:0", []), "needs words"),
    "no points": (lambda e: e.remove_from([], "0:0"), "needs data points"),
    "words above": (lambda e: e.remove_words("1:0", ["word1"]), "is made of 0:"),
    "added above": (lambda e: e.add_words("1:0", ["word1"]), "edit these"),
    "all words": (lambda e: e.remove_words("0:0", WORDS), "delete it instead"),
    "all points": (lambda e: e.remove_from(POINTS, "0:0"), "delete it instead"),
    "merge pinned": (lambda e: e.merge("0:7", "0:0"), "pinned topic 0:7; unpin it first"),
    "split pinned": (lambda e: e.split("0:7"), "unpin it first"),
    "delete pinned": (lambda e: e.delete("0:7"), "unpin it first"),
    "remove pinned": (lambda e: e.remove_words("0:7", ["word1"]), "unpin it first"),
    "add pinned": (lambda e: e.add_words("0:7", ["word1"]), "unpin it first"),
    "stop pinned": (lambda e: e.stop_words(first(e, "0:7", 1)), "unpin it first"),
    "unpin": (lambda e: e.unpin("0:0"), "is not pinned; pinned are 0:7"),
    "remove added": (lambda e: e.remove_words("0:6", [ADDED]), "both added to and removed"),
    "add removed": (lambda e: e.add_words("0:5", ["word2"]), "both added to and removed"),
    "add stopped": (lambda e: e.add_words("0:0", [stopped(e)]), "both added to and removed"),
    "create stopped": (lambda e: e.create([stopped(e)]), "is a stop word"),
    "create nothing": (lambda e: e.create(), "either words or data points"),
    "move up": (lambda e: e.move("1:0", "0:0"), "not in the layer above"),
    "label": (lambda e: e.label([], "sport"), "needs data points"),
    "too few": (lambda e: e.merge(*[f"0:{i}" for i in range(7)]), "merge supertopics first"),
    "others": (lambda e: e.refine(2, others="all"), "must be 'pin', 'hold' or 'free'"),
    "n": (lambda e: e.refine(-1), "number of iterations"),
    "redo": (lambda e: e.redo(), "nothing to redo"),
    "commit": (lambda e: e.commit(), "nothing to commit"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_contradicts_is_refused_and_nothing_happens(chain, case):
    edits = steer(chain, X, **NAMES)
    stop = unused(edits, "0:7")
    edits.commit(edits.pin("0:7"))
    edits.commit(edits.stop_words([stop]))
    edits.commit(edits.add_words("0:6", [ADDED]))
    edits.commit(edits.remove_words("0:5", ["word2"]))
    digest, log = edits.state.digest(), edits.log
    action, message = REFUSALS[case]
    with pytest.raises(ValueError, match=message):
        action(edits)
    assert edits.state.digest() == digest and edits.log == log


def test_the_last_topic_and_the_last_part_stay():
    flat = steer(NMF(1, random_state=0).fit(X), X, **NAMES)
    with pytest.raises(ValueError, match="last topic"):
        flat.delete("0:0")
    edits = steer(HierarchicalNMF((8, 3), random_state=0).fit(X), X, **NAMES)
    for topic in edits.state.ids[0][:-1]:
        last = [one for one in edits.state.ids[1] if one != "1:0"][int(topic[-1]) % 2]
        edits.commit(edits.move(topic, last))
    digest, topic = edits.state.digest(), edits.state.ids[0][-1]
    assert edits.state.A[1][-1, 0] > 0
    for change in (lambda: edits.move(topic, "1:1"), lambda: edits.delete(topic)):
        with pytest.raises(ValueError, match="Supertopic 1:0 would have no topic left"):
            change()
    assert edits.state.digest() == digest


def test_many_words_may_go(chain):
    edits = steer(chain, X, **NAMES)
    words = first(edits, "0:0", 5)
    edits.commit(edits.remove_words("0:0", words))
    assert not edits.state.topic("0:0")[[WORDS.index(w) for w in words]].any()


def test_other_models_are_refused_with_those_that_work():
    labels = np.arange(150) % 2
    with pytest.raises(ValueError, match="NMF, HierarchicalNMF or NeuralNMF, not SSNMF"):
        steer(SSNMF(4, random_state=0).fit(X, labels), X)
    with pytest.raises(ValueError, match="beta_loss"):
        steer(NMF(4, random_state=0, beta_loss="kullback-leibler").fit(X), X)
    with pytest.raises(ValueError, match="alpha_W=0"):
        steer(NMF(4, random_state=0, alpha_W=0.1).fit(X), X)
    with pytest.raises(ValueError, match="edits.label"):
        steer(HierarchicalNMF((6, 2), random_state=0).fit(X, labels), X)


def request(edits, kind, a, b):
    """A preview of a kind of edit, or what happens at once."""
    ids = edits.state.ids[a % len(edits.state.ids)]
    one, two = ids[a % len(ids)], ids[b % len(ids)]
    words, points = [WORDS[a % 50], WORDS[b % 50]], [POINTS[a], POINTS[b]]
    arguments = {
        "merge": (one, two),
        "split": (one,),
        "delete": (one,),
        "create": (words,),
        "remove_words": (one, words),
        "stop_words": (words[:1],),
        "add_words": (one, words[:1]),
        "pin": (one,),
        "remove_from": (points, one),
        "label": (points, f"class{b % 3}"),
        "move": (one, edits.state.ids[-1][b % len(edits.state.ids[-1])]),
        "refine": (1 + a % 3, ("pin", "hold", "free")[b % 3]),
        "undo": (),
        "redo": (),
    }
    return getattr(edits, kind)(*arguments[kind])


def random_session(edits, actions):
    """Do what (kind, a, b) say, and pass over what is refused."""
    for kind, a, b in actions:
        try:
            preview = request(edits, kind, a, b)
        except ValueError:
            continue
        if kind not in ("refine", "undo", "redo"):
            edits.commit(preview)


KINDS = (
    "merge split delete create remove_words stop_words add_words pin remove_from label move "
    "refine undo redo refine"
).split()
ACTIONS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 149), st.integers(0, 149)), max_size=10
)


def assert_replays(chain, actions):
    edits = steer(chain, X, **NAMES)
    random_session(edits, actions)
    assert_sound(edits)
    again = replay(chain, X, edits.to_json(), **NAMES)
    assert again.state.digest() == edits.state.digest() and again.state.ids == edits.state.ids
    assert again.log == edits.log and again.state.added == edits.state.added


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=6, deadline=None, suppress_health_check=QUIET)
@given(actions=ACTIONS)
def test_logs_make_the_same_bits(chain, actions):
    assert_replays(chain, actions)


@pytest.mark.exhaustive
@settings(max_examples=200, deadline=None, suppress_health_check=QUIET)
@given(actions=ACTIONS)
def test_two_hundred_logs_make_the_same_bits(chain, actions):
    assert_replays(chain, actions)


def a_session(model):
    edits = steer(model, X, **NAMES)
    edits.commit(edits.delete("0:2"))
    edits.undo()
    edits.commit(edits.merge("0:0", "0:1"))
    edits.undo()
    edits.commit(edits.split("0:3"))
    edits.refine(2, others="hold")
    edits.commit(edits.rename("t3", "trade"))
    edits.commit(edits.remove_words("trade", first(edits, "t3", 1)))
    return edits


def test_code_file_and_model(chain, tmp_path):
    edits = a_session(chain)
    assert edits.log[0].new == ("t2", "t3")  # ids are not given again
    code = edits.to_code().replace("steer(model, X)", "steer(model, X, **NAMES)")
    space = {"steer": steer, "model": chain, "X": X, "NAMES": NAMES}
    exec(code, space)
    assert space["edits"].state.digest() == edits.state.digest()
    edits.save_log(tmp_path / "log.json")
    assert replay(chain, X, tmp_path / "log.json", **NAMES).log == edits.log
    corrected = edits.to_model()
    save(corrected, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert np.array_equal(again.layers_[0].A, edits.state.A[0])
    assert again.topic_names_ == {edits.state.place("t3"): "trade"}
    assert replay(chain, X, again.steering_log_, **NAMES).state.digest() == edits.state.digest()
    assert np.allclose(again.transform(X).T, again.layers_[-1].S)
    assert len(chain.layers_[0].A[0]) == 8 and not hasattr(chain, "steering_log_")


def test_a_log_of_other_data_is_refused_and_applied_honestly(chain):
    edits = a_session(chain)
    text = edits.to_json()
    with pytest.raises(ValueError, match="other features"):
        replay(chain, X, text, features=WORDS[::-1], samples=POINTS)
    other = HierarchicalNMF((8, 3), random_state=1).fit(X[:140])
    with pytest.raises(ValueError, match="other data points"):
        replay(other, X[:140], text, features=WORDS, samples=POINTS[:140])
    with pytest.raises(ValueError, match="another model"):
        replay(HierarchicalNMF((7, 3), random_state=1).fit(X), X, text, **NAMES)
    with pytest.raises(ValueError, match="no log of edits"):
        replay(chain, X, "{}", **NAMES)
    result, table = apply(text, other, X[:140], features=WORDS, samples=POINTS[:140])
    assert len(table) == len(edits.log) and set(table["left out"]) == {""}
    assert table["words in common"].min() > 0.5 and len(result.log) == len(edits.log)


def test_ctrl_c_leaves_the_last_complete_iteration(chain, monkeypatch):
    from nnmf_nb.steering import _steering

    edits = steer(chain, X, **NAMES)
    edits.commit(edits.merge("0:0", "0:1"))
    calls, original = [], _steering.swept_columns

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(_steering, "swept_columns", interrupted)
    found = edits.refine(5)
    monkeypatch.undo()
    assert found.interrupted and found.iterations == (2, 0)
    assert_sound(edits)
    again = replay(chain, X, edits.to_json(), **NAMES)
    assert again.state.digest() == edits.state.digest()


def test_labels_reach_the_coefficients_and_suggestions_spread(chain):
    edits = steer(chain, X, **NAMES)
    names = edits.suggest(6)
    assert len(set(names)) == 6 and names == edits.suggest(6)
    edits.commit(edits.label(names[:3], "a"))
    preview = edits.commit(edits.label(names[3:], "b"))
    assert preview.adherence == 1
    assert not set(edits.suggest(4)) & set(names)
    found = edits.refine(4, others="free")
    assert found.objectives[1][-1] < found.objectives[1][0]
    assert_sound(edits)


@pytest.mark.parametrize("is_flat", [True, False])
def test_labels_go_with_the_model(chain, is_flat, tmp_path):
    model = NMF(8, random_state=0).fit(X) if is_flat else chain
    edits = steer(model, X, **NAMES)
    names = np.array([f"class {one}" for one in CORPUS.labels["theme"]])
    for name in np.unique(names):
        edits.commit(edits.label([POINTS[i] for i in np.flatnonzero(names == name)[:6]], name))
    edits.commit(edits.merge("0:0", "0:1"))
    edits.refine(2, others="free")
    corrected = edits.to_model()
    assert type(corrected) is (SSNMF if is_flat else HierarchicalNMF)
    save(corrected, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.classes_.tolist() == sorted(set(names))
    assert np.array_equal(again.predict(X), corrected.predict(X))
    assert again.score(X, names) == corrected.score(X, names) > 0.8
    # it is the best classifier for coefficients that do not know the labels, as in the session
    B = again.classifiers_[len(again.layers_) - 1].B * edits.corpus.data.scale
    np.testing.assert_allclose(B, edits.state.classifier, rtol=1e-9, atol=1e-12)
    assert np.allclose(again.transform(X).T, again.layers_[-1].S)
    with pytest.raises(ValueError, match="replay"):
        steer(again, X, **NAMES)
    unlabeled = steer(model, X, **NAMES).to_model()
    assert not getattr(unlabeled, "classifiers_", None) and type(unlabeled) is type(model)


def test_names_of_data_points_are_made_different(chain):
    edits = steer(chain, X, features=WORDS, samples=["same"] * 150)
    assert edits.remove_from([edits.suggest(1)[0]], "0:0").adherence == 1
    header = json.loads(steer(chain, X).to_json())
    assert header["samples"] == json.loads(steer(chain, X.copy()).to_json())["samples"]


DENSE = X.toarray()
CONTAINERS = {
    "CSR": sp.csr_array,
    "CSC": sp.csc_array,
    "COO": sp.coo_array,
    "Fortran": np.asfortranarray,
    "big-endian": lambda X: X.astype(">f8"),
    "float32": lambda X: X.astype(np.float32),
    "list": lambda X: X.tolist(),
    "frame": lambda X: pd.DataFrame(X),
    "nullable frame": lambda X: pd.DataFrame(X).astype("Float64"),
}


def steered(model, data):
    edits = steer(model, data, **NAMES)
    edits.commit(edits.merge("0:0", "0:1"))
    edits.refine(2)
    return edits


@pytest.mark.parametrize("kind", CONTAINERS)
def test_containers_mean_the_same(chain, kind):
    data = CONTAINERS[kind](DENSE)
    edits, plain = steered(chain, data), steered(chain, X)
    np.testing.assert_allclose(edits.errors, plain.errors, rtol=1e-5)
    again = replay(chain, data, edits.to_json(), **NAMES)
    assert again.state.digest() == edits.state.digest()


def test_data_that_do_not_fit_are_refused(chain):
    gaps, negative = DENSE.copy(), DENSE.copy()
    gaps[3, 4], negative[3, 4] = np.nan, -1.0
    for data, words in ((gaps, "NaN"), (negative, "Negative"), (X[:, :-1], "features")):
        with pytest.raises(ValueError, match=words):
            steer(chain, data)
    frame = pd.DataFrame(DENSE, columns=WORDS)
    named = HierarchicalNMF((8, 3), random_state=0).fit(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        steer(named, frame[frame.columns[::-1]])
