"""Metrics of hierarchies: values that a hand can compute, the published formulas written out once
more, word by word, and numbers of TopMost 1.0.2.
"""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError

from nnmf_nb import NMF, NeuralNMF, datasets
from nnmf_nb.chain._layers import (
    Layer,
    distinctive_scores,
    sibling_groups,
    topic_shares,
    topic_table,
)
from nnmf_nb.evaluation import hierarchy_metrics as hm

WORDS = "sea beach sun snow ski lift vote law party tax bank money".split()


def column(*words):
    """A topic whose strongest words are these, the first the strongest."""
    topic = np.zeros(len(WORDS))
    topic[[WORDS.index(word) for word in words]] = np.arange(len(words), 0, -1)
    return topic


def matrix(*texts):
    return np.column_stack([column(*text.split()) for text in texts])


@pytest.fixture
def hierarchy():
    """Sea and snow below holidays, votes and taxes below the state."""
    fine = matrix("sea beach sun", "snow ski sun", "vote law party", "tax bank law")
    coarse = matrix("sun sea snow", "law tax vote")
    weights = np.array([[9.0, 0], [8, 1], [0, 7], [3, 6]])
    return hm.topic_hierarchy([fine, coarse], [weights], top=3)


def test_values_by_hand(hierarchy):
    """Both parents share two words with each child and two children share one."""
    assert [list(map(int, one)) for one in hierarchy.children[1]] == [[0, 1], [2, 3]]
    assert hm.parent_child_diversity(hierarchy) == pytest.approx([1 / 3])
    assert hm.sibling_diversity(hierarchy) == pytest.approx([4 / 6, 1])
    assert hm.non_child_diversity(hierarchy).tolist() == [1]


def test_coherence_by_hand():
    """One pair that is not shared, in 2 and 2 of 4 documents and together in 1, and one shared."""
    fine, coarse = matrix("sea sun"), matrix("sea tax")
    hierarchy = hm.topic_hierarchy([fine, coarse], [[[1.0]]], top=2)
    X = np.array([column("sun", "tax", "sea"), column("sun"), column("tax"), column("sea")])
    npmi = math.log(0.25 / (0.5 * 0.5)) / -math.log(0.25)
    assert hm.parent_child_coherence(hierarchy, X, epsilon=0) == pytest.approx([(npmi - 1) / 2])


@pytest.mark.parametrize(
    ("together", "epsilon", "value"),
    [
        ([[1, 1], [1, 1]], 1e-10, 1.0),  # in every document
        ([[1, 0], [0, 1]], 0, -1.0),  # never together
        ([[1, 0], [0, 1]], 1e-10, math.log(1e-10 / 0.25) / -math.log(1e-10)),
        ([[1, 1], [0, 0]], 0, 1.0),  # only together
        ([[1, 0], [1, 0]], 1e-10, -1.0),  # one of them in no document
    ],
)
def test_ends_of_npmi(together, epsilon, value):
    topics = [np.eye(2)[:, :1], np.eye(2)[:, 1:]]
    hierarchy = hm.topic_hierarchy(topics, [[[1.0]]], top=1)
    found = hm.parent_child_coherence(hierarchy, together, epsilon=epsilon)
    assert found == pytest.approx([value], abs=1e-12)


# --- the formulas word by word --------------------------------------------------------------------


def drawn(ranks=(12, 6, 3), n_features=40, n_samples=60, seed=0):
    """Topics and weights of a random hierarchy, the finest layer first, and documents."""
    rng = np.random.default_rng(seed)
    topics = [rng.gamma(0.3, 1, (n_features, k)) for k in ranks]
    weights = [rng.random((a, b)) for a, b in zip(ranks, ranks[1:])]
    X = (rng.random((n_samples, n_features)) < 0.1 + 0.8 * rng.random(n_features)).astype(int)
    X[:, 0] = 1
    return topics, weights, X


def strongest(topic, top):
    return [int(i) for i in np.argsort(topic)[::-1][:top]]


def walked(topics, weights, top):
    """Pairs (parent, child) and (parent, no child) and groups of siblings, from the top down, as
    lists of words; a topic below two parents comes twice.
    """
    words = [[strongest(topic, top) for topic in Phi.T] for Phi in topics]
    pairs, others, groups = [], [], [[words[-1]]]
    level = list(range(len(words[-1])))
    for l in range(len(topics) - 1, 0, -1):
        n_below, n_above = weights[l - 1].shape
        family = {j: strongest(weights[l - 1][:, j], round(n_below / n_above)) for j in level}
        known = range(n_below)
        below = words[l - 1]
        pairs.append([(words[l][j], below[i]) for j in level for i in family[j]])
        others.append([(words[l][j], below[i]) for j in level for i in known if i not in family[j]])
        groups.append([[below[i] for i in family[j]] for j in level])
        level = [i for j in level for i in family[j]]
    return pairs, others, groups


def npmi_of_pair(X, one, other):
    n = len(X)
    p, q = (X[:, one] > 0).sum() / n, (X[:, other] > 0).sum() / n
    both = ((X[:, one] > 0) & (X[:, other] > 0)).sum() / n
    return 1 if both == 1 else math.log((both + 1e-10) / (p * q)) / -math.log(both + 1e-10)


def coherences(X, pairs):
    values = []
    for parent, child in pairs:
        for one in parent:
            for other in child:
                if one in child and other in parent:
                    values.append(-1)
                elif one not in child and other not in parent:
                    values.append(npmi_of_pair(X, one, other))
    return values


def differences(pairs):
    return [len({*one} ^ {*other}) / (len(one) + len(other)) for one, other in pairs]


def diversities(groups):
    values = []
    for group in groups:
        every = sum(group, [])
        values.append(sum(every.count(word) == 1 for word in every) / len(every))
    return values


@pytest.mark.parametrize(("ranks", "top"), [((12, 6, 3), 5), ((10, 4), 15), ((9, 7, 2), 8)])
def test_four_measures_are_their_formulas(ranks, top):
    topics, weights, X = drawn(ranks, seed=top)
    pairs, others, groups = walked(topics, weights, top)
    found = hm.hierarchy_quality(hm.topic_hierarchy(topics, weights, top=top), X).loc["mean"]
    mean = lambda measure, of: np.mean([np.mean(measure(one)) for one in of])
    expected = [
        mean(lambda one: coherences(X, one), pairs),
        mean(differences, pairs),
        mean(diversities, groups),
        mean(differences, others),
    ]
    np.testing.assert_allclose(found[["PCC", "PCD", "SD", "PnCD"]], expected, rtol=0, atol=1e-12)


def test_numbers_of_topmost():
    """What TopMost 1.0.2 computes for these topics, recorded once."""
    topics, weights, X = drawn()
    hierarchy = hm.topic_hierarchy(topics, weights, top=8)
    found = hm.hierarchy_quality(hierarchy, X).loc["mean"]
    np.testing.assert_allclose(
        found[["PCC", "PCD", "SD", "PnCD"]],
        TOPMOST,
        rtol=0,
        atol=1e-12,
    )


TOPMOST = [-0.10881969921098476, 0.78125, 0.7430555555555555, 0.7802083333333334]


# --- models ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy_model():
    return NeuralNMF(ranks=(9, 4, 2), random_state=0).fit(datasets.toy().X)


def test_models_layers_and_matrices_are_one_door(toy_model):
    from_model = hm.topic_hierarchy(toy_model, top=5)
    from_layers = hm.topic_hierarchy(toy_model.layers_, top=5)
    by_hand = toy_model.topics(0, features=np.arange(87), top=5).iloc[:, 1:]
    for found in (from_model, from_layers):
        listed = [[int(word) for word in row if word != ""] for row in by_hand.to_numpy()]
        assert [one.tolist() for one in found.features[0]] == listed
    X = datasets.toy().X
    quality = hm.hierarchy_quality(from_model, X)
    np.testing.assert_allclose(quality, hm.hierarchy_quality(from_model, sp.csr_array(X)))


def test_children_of_a_tree_have_one_parent(toy_model):
    hierarchy = hm.topic_hierarchy(toy_model, children="main")
    assert sorted(np.concatenate(hierarchy.children[1]).tolist()) == list(range(9))


def test_the_scale_of_topics_does_not_matter():
    topics, weights, X = drawn()
    plain = hm.hierarchy_quality(hm.topic_hierarchy(topics, weights), X)
    scaled = hm.topic_hierarchy([1e-30 * Phi for Phi in topics], [1e30 * W for W in weights])
    assert plain.equals(hm.hierarchy_quality(scaled, 1e-9 * X))


def test_dead_topics_take_part_in_no_pair():
    fine = np.column_stack([np.eye(4)[:, :2], np.zeros(4)])
    hierarchy = hm.topic_hierarchy([fine, np.eye(4)[:, 2:3]], [np.ones((3, 1))], top=1)
    assert hierarchy.features[0][2].size == 0
    assert hm.parent_child_diversity(hierarchy).tolist() == [1]
    assert hm.sibling_diversity(hierarchy).tolist() == [1, 1]
    assert np.isnan(hm.non_child_diversity(hierarchy)).all()


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (lambda: hm.topic_hierarchy(NMF(2)), NotFittedError, "not fitted"),
        (
            lambda: hm.topic_hierarchy(NMF(2).fit(np.ones((3, 4)))),
            ValueError,
            "at least two layers",
        ),
        (lambda: hm.topic_hierarchy([np.eye(2), np.eye(2)]), ValueError, "weights must be 1"),
        (
            lambda: hm.topic_hierarchy([np.eye(2), np.eye(2)], [np.ones((2, 3))]),
            ValueError,
            r"weights\[0\] must have shape \(2, 2\)",
        ),
        (
            lambda: hm.topic_hierarchy([np.eye(2), np.eye(3)], [np.eye(2)]),
            ValueError,
            r"topics\[1\] has 3 features",
        ),
        (lambda: hm.topic_hierarchy([np.eye(2)], top=0), ValueError, "top must be an integer"),
        (lambda: hm.topic_hierarchy([np.eye(2)], children="x"), ValueError, "children must be"),
        (
            lambda: hm.topic_hierarchy([np.eye(2)], distinctive=True),
            ValueError,
            "needs a model",
        ),
        (lambda: hm.topic_hierarchy("model"), TypeError, "got str"),
        (lambda: hm.window_coherence([["a"]], ["a"], "u_mass"), ValueError, "measure must be"),
        (lambda: hm.window_coherence([[]], ["a"]), ValueError, "must have words"),
        (lambda: hm.window_coherence([["a"]], ["a"], window=0), ValueError, "window must be"),
        (
            lambda: hm.label_scores_per_layer([np.eye(2)], [0, 1], [], [0, 1]),
            ValueError,
            "same layers",
        ),
    ],
)
def test_bad_input(work, error, message):
    with pytest.raises(error, match=message):
        work()


def test_documents_with_other_features(hierarchy):
    with pytest.raises(ValueError, match="X has 3 features, one per column, the hierarchy has 12"):
        hm.parent_child_coherence(hierarchy, np.ones((2, 3)))
    with pytest.raises(ValueError, match="epsilon must be"):
        hm.parent_child_coherence(hierarchy, np.ones((2, 12)), epsilon=-1)


# --- labels ---------------------------------------------------------------------------------------


def test_label_scores_by_hand():
    """Layer 0 separates three labels, layer 1 only one of them."""
    labels = np.repeat([0, 1, 2], 4)
    fine, coarse = np.eye(3)[labels], np.eye(2)[np.minimum(labels, 1)]
    found = hm.label_scores_per_layer([fine, coarse], labels, [fine, coarse], labels)
    assert found.loc[0].tolist() == pytest.approx([1, 1, 1, 1])
    assert found.loc[1, ["purity", "accuracy"]].tolist() == pytest.approx([2 / 3, 2 / 3])
    both, one = math.log(3), math.log(3) - 2 / 3 * math.log(2)  # entropies of labels and groups
    assert found.loc[1, "NMI"] == pytest.approx(2 * one / (both + one))
    assert found.loc[1, "macro F1"] == pytest.approx((1 + 2 / 3) / 3)
    assert found.loc["mean", "purity"] == pytest.approx(5 / 6)


# --- windows --------------------------------------------------------------------------------------


def slow_coherence(topic, texts, measure, size):
    """C_V and C_NPMI by walking through all windows."""
    windows = []
    for tokens in map(str.split, texts):
        starts = range(max(1, len(tokens) - size + 1))
        windows += [{*tokens[start : start + size]} for start in starts]
    part = lambda *words: sum(all(w in seen for w in words) for seen in windows) / len(windows)
    npmi = np.array(
        [
            [
                math.log((part(a, b) + 1e-12) / (part(a) * part(b))) / -math.log(part(a, b) + 1e-12)
                for b in topic
            ]
            for a in topic
        ]
    )
    if measure == "c_npmi":
        return npmi[np.triu_indices(len(topic), 1)].mean()
    total = npmi.sum(axis=0)
    return np.mean([row @ total / np.linalg.norm(row) / np.linalg.norm(total) for row in npmi])


@pytest.mark.parametrize("measure", ["c_v", "c_npmi"])
@pytest.mark.parametrize("size", [1, 3, 50])
def test_window_coherence_is_its_formula(measure, size):
    rng = np.random.default_rng(size)
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(1, 12))) for _ in range(40)]
    topics = [WORDS[:4], WORDS[3:9]]
    expected = [slow_coherence(topic, texts, measure, size) for topic in topics]
    found = hm.window_coherence(topics, texts, measure, window=size)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_words_everywhere_and_nowhere():
    assert hm.window_coherence([["a", "b"]], ["a b", "b a"], "c_npmi").tolist() == [1]
    assert hm.window_coherence([["a", "z"]], ["a b", "b"], "c_npmi").tolist() == [-1]
    assert hm.window_coherence([["y", "z"]], ["a b", "b"]).tolist() == [0]
    assert hm.window_coherence([["a"]], ["a b", "b"], "c_npmi").tolist() == [0]


# --- what tells siblings apart --------------------------------------------------------------------


def test_distinctive_scores_are_a_divergence(toy_model):
    """Their sum over features is the Kullback-Leibler divergence from the siblings together."""
    layers = toy_model.layers_
    for layer in range(3):
        scores = distinctive_scores(layers, layer)
        phi = toy_model.feature_probabilities(layer).to_numpy().T
        weights = topic_shares(layers, layer)
        for group in sibling_groups(layers, layer):
            others = group if len(group) > 1 else np.arange(len(weights))
            p = phi[:, others] @ weights[others] / weights[others].sum()
            for j in group:
                own = phi[:, j] > 0
                divergence = (phi[own, j] * np.log(phi[own, j] / p[own])).sum()
                assert scores[:, j].sum() == pytest.approx(divergence, abs=1e-12)


def test_distinctive_tables_begin_with_what_siblings_do_not_share():
    """Two topics below one supertopic have the same heaviest word, and share one with a third."""
    topics = np.array([[9.0, 4, 0, 0, 0, 1], [9, 0, 4, 0, 0, 1], [0, 0, 0, 2, 1, 8]]).T
    groups, ones = np.array([[1.0, 0], [1, 0], [0, 1]]), np.ones((3, 5))
    unknown = dict(error=0, floor=0, kkt=0, ambiguous=0, dead=[], duplicates=[])
    layers = [Layer(topics, ones, **unknown), Layer(groups, ones[:2], **unknown)]
    by_weight = topic_table(layers, 0, top=1)["feature 1"].tolist()
    scores = distinctive_scores(layers, 0)
    own = topic_table(layers, 0, top=1, scores=scores)["feature 1"].tolist()
    assert by_weight == ["x0", "x0", "x5"] and own == ["x1", "x2", "x5"]
    assert scores[[0, 5], :2].tolist() == [[0, 0], [0, 0]]  # siblings have these alike


def test_distinctive_tables_of_models(toy_model):
    names = datasets.toy().features
    table = toy_model.topics(0, names, top=5, distinctive=True)
    scores = distinctive_scores(toy_model.layers_, 0)
    assert table.equals(topic_table(toy_model.layers_, 0, names, 5, scores))
    with pytest.raises(ValueError, match="leave out by='frex'"):
        toy_model.topics(by="frex", distinctive=True)
