"""The inspector: the payload against direct computation, its size, stills and names; and the
page itself in a browser.
"""

import base64
import itertools
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from importlib.resources import files
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import traitlets
from conftest import find_chromium
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler

from nnmf_nb import (
    NMF,
    SSNMF,
    DeepNMF,
    DeepSemiNMF,
    GuidedNMF,
    HierarchicalNMF,
    NeuralNCPD,
    NeuralNMF,
    NonlinearSemiNMF,
    NonnegativeCP,
    SparseCodingNetwork,
    UnfoldedNMF,
    datasets,
    inspect,
    load,
    save,
)
from nnmf_nb.chain._layers import Layer, flows, topic_features, topic_shares
from nnmf_nb.inspector import _view as module
from nnmf_nb.inspector._documents import speaking
from nnmf_nb.inspector._tensors import verdict_of_tensor
from nnmf_nb.plot import path_shares, topic_colors, tree_order

warnings.filterwarnings("ignore", category=ConvergenceWarning)
NASTY = '<img src=x onerror="document.title=1">&\u0000 größer 主題 \U0001f9ec ' + "long " * 60


def fit(model, X, *y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, *y)


@pytest.fixture(scope="module")
def toy():
    return datasets.toy(random_state=0)


@pytest.fixture(scope="module")
def models(toy):
    low = np.zeros((90, 87))
    low[:45, :40], low[45:, 40:] = 1, 2
    return {
        "NMF": fit(NMF(5, random_state=0), toy.X),
        "stepwise": fit(HierarchicalNMF(ranks=(9, 4, 2), random_state=0), toy.X),
        "neural": fit(NeuralNMF(ranks=(9, 4, 2), random_state=0, max_iter=30), toy.X),
        "deep": fit(DeepNMF(ranks=(8, 3), random_state=0, max_iter=10), toy.X),
        "five": fit(HierarchicalNMF(ranks=(30, 12, 6, 3, 1), random_state=0, max_iter=5), toy.X),
        "float32": fit(
            HierarchicalNMF(ranks=(6, 3), random_state=0, max_iter=20), toy.X.astype(np.float32)
        ),
        # rank 2: nothing is left for most topics
        "dead": fit(HierarchicalNMF(ranks=(6, 3), random_state=0, max_iter=30), low),
        "zero": fit(HierarchicalNMF(ranks=(3, 2), random_state=0, max_iter=3), np.zeros((90, 87))),
        "many": fit(
            HierarchicalNMF(ranks=(200, 40), random_state=0, max_iter=1),
            np.random.default_rng(0).random((250, 87)),
        ),
    }


KINDS = ["NMF", "stepwise", "neural", "deep", "five", "float32", "dead", "zero", "many"]


@pytest.fixture(scope="module")
def genes():
    data = datasets.gene_ontology()
    model = fit(HierarchicalNMF(ranks=(12, 4), random_state=0, max_iter=60), data.X)
    return inspect(
        model, X=data.X, features=data.features, samples=list(zip(data.samples, data.text))
    )


@pytest.fixture(scope="module")
def tensor_models():
    il2 = datasets.il2()
    quick = dict(max_iter=20, n_init=1, n_init_upper=1, random_state=0)
    given = {
        hierarchy: NeuralNCPD((5, 3), hierarchy=hierarchy, **quick)
        for hierarchy in ("samples", "modes", "shared")
    } | {"flat": NonnegativeCP(4, max_iter=20, n_init=1, random_state=0)}
    return {name: clone(one).fit(il2.X, mask="nan") for name, one in given.items()}


def exact_shares(layers, l):
    """Share of every topic of layer l in the reconstruction of every data point at this depth."""
    Phi = layers[0].A
    for one in layers[1 : l + 1]:
        Phi = Phi @ one.A
    mass = Phi.sum(axis=0)[:, None] * layers[l].S
    return mass / np.maximum(mass.sum(axis=0), 1e-300)


def wire(data):
    return json.dumps(data, allow_nan=False)


# --- the payload ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["samples", "modes", "shared", "flat"])
def test_a_tensor_model_has_a_card_per_mode(tensor_models, kind):
    il2, model = datasets.il2(), tensor_models[kind]
    view = inspect(model, il2.X, features=il2.names, modes=il2.modes)
    data = json.loads(wire(view.payload))
    assert [one["title"] for one in data["modes"]] == list(il2.modes[1:])
    assert [float(one) for one in data["modes"][0]["names"]] == [0.5, 1, 2, 4]
    assert np.allclose(data["modes"][1]["axis"], np.log10(il2.names[2]), atol=1e-4)
    left = [model.residuals(il2.X, layer=l)[0]["error"] for l in range(len(data["layers"]))]
    for m, point in data["points"].items():
        assert point["name"] == il2.names[0][int(m)]
        assert np.allclose(point["errors"], [one[int(m)] for one in left], atol=1e-3)
    for l, layer in enumerate(data["layers"]):
        profiles, weights = model._components_of_layer(l)
        parts = [U / U.sum(axis=0) for U in profiles]
        shares = parts[0] * weights
        shares = shares / shares.sum(axis=1, keepdims=True)
        assert np.allclose([one["share"] for one in layer["topics"]], weights / weights.sum(), 1e-3)
        for j, topic in enumerate(layer["topics"]):
            hours, doses, cells = topic["modes"]
            for one, m in ((hours, 1), (doses, 2)):
                drawn = np.frombuffer(base64.b64decode(one["image"]), np.uint8) / 255
                assert np.allclose(drawn, parts[m][:, j] / parts[m][:, j].max(), atol=3e-3)
            names = [data["features"][i] for i in cells["features"]]
            assert module.label(data, {}, l, j) == " · ".join(names[:3])  # of one mode only
            wanted = dict(zip(il2.names[3], parts[3][:, j]))
            assert np.allclose(cells["weights"], [wanted[name] for name in names], rtol=1e-3)
            assert all(np.isclose(part, shares[m, j], atol=1e-3) for m, part in topic["points"])
    if kind != "flat":
        expected = model.layers_[1].flow
        for i, j, up, _ in data["layers"][1]["flows"]:
            assert np.isclose(up, expected[i, j], atol=1e-3)
    assert ("chain of its own" in data["remark"]) == (kind == "modes")
    view.rename(0, 1, "mine")
    assert inspect(model).names == {"0,1": "mine"} and model.topic_names_ == {(0, 1): "mine"}
    view.rename(0, 1, "")


def test_what_is_nearly_explained_is_not_called_100_percent():
    layers = [SimpleNamespace(rank=4, error=error) for error in (0.3, 0.014, 0.0, 0.05)]
    parts = verdict_of_tensor(layers).split(", ")
    assert [one.split()[-1] for one in parts[:3]] == ["91%", "99.98%", "100%"]
    assert parts[3].startswith("4 explain 99.8% of")


def test_tensor_models_refuse_what_does_not_fit(tensor_models):
    il2, model = datasets.il2(), tensor_models["flat"]
    for given, words in (
        (dict(features=il2.names[:2]), "features must be 4 lists"),
        (dict(features=[None, ["a"], None, None]), r"features\[1\] must be 4 names"),
        (dict(modes=["one"]), "modes must be 4 titles"),
        (dict(samples=["one"]), "samples must be 13 names"),
        (dict(shape=(4, 96)), "shape is for data points that are pictures"),
        (dict(X=il2.X[:5]), "X must be the training data, 13 data points; got 5"),
        (dict(X=il2.X[:, :3]), r"fitted to \(4, 12, 8\)"),
    ):
        with pytest.raises(ValueError, match=words):
            inspect(model, **given)
    with pytest.raises(NotFittedError):
        inspect(NonnegativeCP())
    with pytest.raises(ValueError, match="modes are for models of tensors"):
        inspect(NMF(2, random_state=0).fit(np.eye(5) + 1), modes=["a", "b"])
    # the data points may have their names from `samples`, or none at all
    names = [f"cell {m}" for m in range(13)]
    view = inspect(model, features=il2.names[1:], samples=names)
    assert {one["name"] for one in view.payload["points"].values()} <= set(names)
    assert "mode 1: 0.5" in inspect(model, features=il2.names).payload["features"]
    table = view.controls.children[-1].value
    assert "mode 3" in table and "Treg" in table and "NaN" not in table


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_has_a_view(models, kind):
    view = inspect(models[kind])
    data = json.loads(wire(view.payload))  # allow_nan=False: no NaN may travel
    assert [len(layer["topics"]) for layer in data["layers"]] == [
        one.rank for one in models[kind].layers_
    ]
    assert len(view.data) == sum(one.rank for one in models[kind].layers_)
    assert (
        repr(view).startswith(type(models[kind]).__name__)
        and "<table>" in view._repr_mimebundle_()["text/html"]
    )


def test_list_of_layers_will_do(models):
    view = inspect(models["stepwise"].layers_).rename(0, 1, "mine")
    assert view.payload["title"] == "Layers" and view.data.loc[(0, 1), "name"] == "mine"


@pytest.mark.parametrize("kind", ["stepwise", "neural", "dead", "float32"])
def test_shares_colors_order_and_flows_are_those_of_the_other_pictures(models, kind):
    model, data = models[kind], inspect(models[kind]).payload
    for l, layer in enumerate(data["layers"]):
        np.testing.assert_allclose(
            [t["share"] for t in layer["topics"]], topic_shares(model.layers_, l), rtol=2e-3
        )
        assert layer["order"] == tree_order(model)[l].tolist()
        sent = [[int(t["color"][n : n + 2], 16) / 255 for n in (1, 3, 5)] for t in layer["topics"]]
        np.testing.assert_allclose(sent, topic_colors(model)[l][:, :3], atol=3e-3)
        if l:
            flow = flows(model.layers_, l)
            for i, j, up, down in layer["flows"]:
                np.testing.assert_allclose(
                    [up * flow[i].sum(), down * flow[:, j].sum()], flow[i, j], rtol=1e-2
                )
            # each topic keeps its main parent
            assert {i for i, *_ in layer["flows"]} == set(np.flatnonzero(flow.any(axis=1)))


@pytest.mark.parametrize("lam", module.LAMBDAS)
def test_slider_shows_what_a_sort_of_all_features_would(models, toy, lam):
    data = inspect(models["stepwise"], X=toy.X, features=toy.features).payload
    p = toy.X.sum(axis=0) / toy.X.sum()
    for l, layer in enumerate(data["layers"]):
        Phi = topic_features(models["stepwise"].layers_, l)
        phi = Phi / Phi.sum(axis=0)
        for j, topic in enumerate(layer["topics"]):
            direct = lam * np.log(np.maximum(phi[:, j], 1e-300)) + (1 - lam) * np.log(
                np.maximum(phi[:, j], 1e-300) / p
            )
            sent = {
                data["features"][i]: (w, data["frequency"][i])
                for i, w in zip(topic["features"], topic["weights"])
            }
            best = sorted(
                sent, key=lambda name: -(np.log(sent[name][0]) - (1 - lam) * np.log(sent[name][1]))
            )[: data["top"]]
            value = dict(zip(toy.features, direct))
            # four digits travel
            np.testing.assert_allclose(
                [value[name] for name in best], np.sort(direct)[::-1][: len(best)], atol=2e-3
            )


def test_frequencies_with_and_without_data(models, toy):
    layers = models["stepwise"].layers_
    np.testing.assert_allclose(module.frequencies(layers, toy.X), toy.X.sum(axis=0) / toy.X.sum())
    np.testing.assert_allclose(
        module.frequencies(layers, sp.csr_array(toy.X)), toy.X.sum(axis=0) / toy.X.sum()
    )
    made = topic_features(layers, 0) @ layers[0].S
    np.testing.assert_allclose(module.frequencies(layers), made.sum(axis=1) / made.sum())
    holes = np.where(np.random.default_rng(0).random(toy.X.shape) < 0.2, np.nan, toy.X)
    np.testing.assert_allclose(
        module.frequencies(layers, holes), np.nansum(holes, axis=0) / np.nansum(holes)
    )


@pytest.mark.parametrize("kind", ["NMF", "stepwise", "deep"])
def test_paths_are_the_best_of_all_and_add_up(models, kind):
    layers = models[kind].layers_
    A, S, points = [one.A for one in layers], layers[-1].S, [0, 17, 89]
    n_all = int(np.prod([one.rank for one in layers]))
    brute = {}
    for path in itertools.product(*(range(one.rank) for one in layers)):
        mass = A[0][:, path[0]].sum() * np.prod([a[i, j] for a, i, j in zip(A[1:], path, path[1:])])
        brute[path] = mass * S[path[-1], points]
    whole = (topic_features(layers) @ S[:, points]).sum(axis=0)
    for n in (3, n_all):
        for m, listed in enumerate(path_shares(layers, points, n)):
            want = np.sort([value[m] / whole[m] for value in brute.values()])[::-1][:n]
            np.testing.assert_allclose(
                [share for _, share in listed], want[want > 0], rtol=1e-9, atol=1e-300
            )
            for path, share in listed:
                assert share == pytest.approx(brute[path][m] / whole[m])
    assert all(
        sum(share for _, share in listed) == pytest.approx(1)
        for listed in path_shares(layers, points, n_all)
    )


def test_paths_of_five_layers_of_many_topics_are_quick():
    # 200 * 200 * 100 * 50 * 20 = 4e9 paths: only a search that never lists them comes back
    rng, ranks = np.random.default_rng(0), (30, 200, 200, 100, 50, 20)
    layers = [
        SimpleNamespace(A=rng.random((a, b)), S=rng.random((b, 4)), rank=b)
        for a, b in zip(ranks, ranks[1:])
    ]
    (first, share), *_ = path_shares(layers, [2], 4)[0]
    A, own = [one.A for one in layers], layers[0].A.sum(axis=0)[first[0]]
    for a, i, j in zip(A[1:], first, first[1:]):
        own *= a[i, j]
    assert share == pytest.approx(
        own * layers[-1].S[first[-1], 2] / (topic_features(layers) @ layers[-1].S[:, 2]).sum()
    )


def test_examples_are_the_largest_coefficients_with_their_shares(models, toy):
    model, data = models["stepwise"], inspect(models["stepwise"], samples=toy.samples).payload
    for l, layer in enumerate(data["layers"]):
        S, mass = (
            model.layers_[l].S,
            topic_features(model.layers_, l).sum(axis=0)[:, None] * model.layers_[l].S,
        )
        for j, topic in enumerate(layer["topics"]):
            sent = [m for m, _ in topic["points"]]
            assert sent == sorted(sent, key=lambda m: -S[j, m])
            if l == 0:
                np.testing.assert_allclose(S[j, sent], np.sort(S[j])[::-1][: len(sent)])
            np.testing.assert_allclose(
                [share for _, share in topic["points"]],
                (mass[j] / mass.sum(axis=0))[sent],
                rtol=2e-3,
            )
            assert [data["points"][str(m)]["name"] for m in sent] == toy.samples[sent].tolist()


def test_examples_of_a_supertopic_come_from_its_subtopics(genes):
    layers, data = genes.model.layers_, genes.payload
    shares = exact_shares(layers, 0)
    parent = flows(layers, 1).argmax(axis=1)
    for j, topic in enumerate(data["layers"][1]["topics"]):
        chosen = [m for m, _ in topic["points"]]
        finer = shares[:, chosen].argmax(axis=0)
        there = {i for i in shares.argmax(axis=0) if parent[i] == j}
        assert len(set(finer) & there) == min(len(there), len(chosen))
        assert [data["points"][str(m)]["main"]["1"] for m in chosen] == finer.tolist()
        # and are about the supertopic
        assert (exact_shares(layers, 1)[:, chosen].argmax(axis=0) == j).all()


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array, sp.csc_matrix])
def test_errors_of_single_points(models, toy, make):
    model, X = models["stepwise"], make(toy.X)
    data = inspect(model, X=X).payload
    for m, point in data["points"].items():
        x = toy.X[int(m)]
        want = [
            np.linalg.norm(x - topic_features(model.layers_, l) @ one.S[:, int(m)])
            / np.linalg.norm(x)
            for l, one in enumerate(model.layers_)
        ]
        np.testing.assert_allclose(point["errors"], want, rtol=6e-3)
    assert all(point["errors"] is None for point in inspect(model).payload["points"].values())


def test_extreme_scales_do_not_matter(toy):
    plain, *others = (
        inspect(fit(HierarchicalNMF(ranks=(5, 2), random_state=0), toy.X * c), X=toy.X * c).payload
        for c in (1.0, 2.0**-100, 2.0**100)
    )  # powers of two: not a bit may differ
    for other in others:
        assert wire(other["layers"]) == wire(plain["layers"]) and wire(other["points"]) == wire(
            plain["points"]
        )


def test_dead_and_duplicate_topics_are_marked(models):
    layers = models["dead"].layers_
    for one, sent in zip(layers, inspect(models["dead"]).payload["layers"]):
        assert {j for j, t in enumerate(sent["topics"]) if t["dead"]} >= set(one.dead)
        assert {
            tuple(sorted((j, i))) for j, t in enumerate(sent["topics"]) for i in t["twins"]
        } == set(one.duplicates)
    assert any(one.dead or one.duplicates for one in layers)
    assert all(
        t["dead"] for layer in inspect(models["zero"]).payload["layers"] for t in layer["topics"]
    )


def test_pictures(models, toy):
    shape, model = (29, 3), models["stepwise"]
    data = inspect(model, X=toy.X, shape=shape).payload
    sent = np.frombuffer(base64.b64decode(data["layers"][0]["topics"][4]["image"]), np.uint8)
    assert sent.size == np.prod(data["shape"]) and data["shape"] == [28, 3] and sent.max() > 200
    # the data and three depths
    assert {len(point["images"]) for point in data["points"].values()} == {4}
    assert {
        point["images"][0] for point in inspect(model, shape=shape).payload["points"].values()
    } == {None}
    picture = np.arange(12.0).reshape(3, 4)
    whole = np.frombuffer(base64.b64decode(module.thumbnail(picture, 4)), np.uint8).reshape(3, 4)
    np.testing.assert_allclose(whole, picture / 11 * 255, atol=0.51)
    half = np.frombuffer(
        base64.b64decode(module.thumbnail(np.kron(picture, np.ones((2, 2))), 4)), np.uint8
    )
    assert half.size == 16


def test_only_slices_travel():
    # the design's budget: 20000 x 10000 sparse, ranks 50, 20, 5, long texts; what the factors are
    # does not matter, so they are not fitted
    rng, ranks = np.random.default_rng(0), (10000, 50, 20, 5)
    X = sp.random_array((20000, 10000), density=0.001, format="csr", rng=rng)
    layers = [
        Layer(rng.random((a, b)) ** 8, rng.random((b, 20000)) ** 8, 0.5, 0.4, 0.0, 0, [], [])
        for a, b in itertools.pairwise(ranks)
    ]
    texts = [(f"data point number {i}", NASTY) for i in range(20000)]
    assert (
        len(
            wire(
                inspect(
                    layers,
                    X=X,
                    features=[f"a feature called {i}" for i in range(10000)],
                    samples=texts,
                ).payload
            )
        )
        < 300_000
    )


@pytest.mark.parametrize("kind", ["many", "five"])
def test_many_topics_and_pictures_stay_small(models, kind):
    assert len(wire(inspect(models[kind], features=[NASTY] * 87, shape=(29, 3)).payload)) < 400_000


@pytest.mark.parametrize(
    "given, words",
    [
        (dict(X=np.ones((3, 87))), "training data"),
        (dict(X=-np.ones((90, 87))), "Negative values"),
        (dict(features=["a"]), "features"),
        (dict(samples=["a"]), "samples must be 90"),
        (dict(shape=(2, 3)), "shape must be"),
    ],
)
def test_what_does_not_fit_is_said(models, given, words):
    with pytest.raises(ValueError, match=words):
        inspect(models["stepwise"], **given)


def test_fitted_pipelines_are_shown(toy):
    """Not said to be unfitted, and those that are not fitted are."""
    steps = Pipeline([("scale", MaxAbsScaler()), ("topics", NMF(3, random_state=0))])
    with pytest.raises(NotFittedError):
        inspect(steps, toy.X)
    shown = inspect(fit(steps, toy.X), toy.X)
    alone = inspect(steps[-1], MaxAbsScaler().fit_transform(toy.X))
    assert shown.payload["layers"] == alone.payload["layers"]


@pytest.mark.parametrize("absent", [None, float("nan"), pd.NA])
def test_labels_that_are_missing_among_words(toy, absent):
    y = np.array(["left", None, "right"] * 30, dtype=object)
    model = fit(SSNMF(3, random_state=0), toy.X, [absent if one is None else one for one in y])
    assert [*model.classes_] == ["left", "right"]
    known = fit(SSNMF(3, random_state=0), toy.X, np.where(np.equal(y, None), -1, y))
    np.testing.assert_array_equal(model.components_, known.components_)


def test_columns_that_are_no_numbers_are_named(toy):
    table = pd.DataFrame(toy.X[:, :3], columns=list("abc"))
    with pytest.raises(ValueError, match=r"'two words', in the column 'said'.*TfidfVectorizer"):
        NMF(2).fit(table.assign(said="two words"))
    with pytest.raises(TypeError, match=r"the column 'when' of X holds datetime64.* not numbers"):
        NMF(2).fit(table.assign(when=pd.Timestamp("2020-01-01")))
    for texts in (["two words"] * 9, pd.Series(["two words"] * 9)):
        with pytest.raises(ValueError, match=r"first at \[0\]: 'two words'.*TfidfVectorizer"):
            NMF(2).fit(texts)


def test_mask_of_another_shape_is_reported_as_it_was_given(toy):
    with pytest.raises(ValueError, match=r"shape of X, \(90, 87\), got \(87, 90\)"):
        NMF(2).fit(toy.X, mask=np.ones((87, 90), dtype=bool))


def test_models_that_cannot_be_shown(toy):
    with pytest.raises(NotFittedError):
        inspect(HierarchicalNMF(ranks=(4, 2)))
    with pytest.raises(TypeError, match="any sign"):
        inspect(fit(DeepSemiNMF(ranks=(4, 2), max_iter=2, pretrain_iter=2), toy.X))
    with pytest.raises(TypeError, match="any sign"):
        inspect(fit(NonlinearSemiNMF(ranks=(4, 2), max_iter=2), toy.X), X=toy.X)
    with pytest.raises(TypeError, match="any sign"):
        inspect(
            fit(SparseCodingNetwork(ranks=(4, 2), max_iter=2, random_state=0), toy.X - toy.X.mean())
        )
    with pytest.raises(ValueError, match="X must be given"):
        inspect(fit(UnfoldedNMF(4, max_iter=2), toy.X))


def test_unfolded_model_is_shown_by_its_own_coefficients(toy):
    model = fit(UnfoldedNMF(4, max_iter=5), toy.X)
    view = inspect(model, X=toy.X, features=toy.features).rename(0, 1, "mine")
    (layer,) = view.payload["layers"]
    H, W = model.transform(toy.X), model.components_
    mass = H.sum(axis=0) * W.sum(axis=1)
    np.testing.assert_allclose([t["share"] for t in layer["topics"]], mass / mass.sum(), rtol=2e-3)
    assert layer["fit"]["error"] == pytest.approx(
        np.linalg.norm(toy.X - H @ W) / np.linalg.norm(toy.X), rel=1e-3
    )
    assert view.payload["title"] == "UnfoldedNMF" and not hasattr(model, "layers_")
    assert inspect(model, X=toy.X).names == {"0,1": "mine"}


@pytest.mark.parametrize(
    "make",
    [
        NMF(5, random_state=0),
        pytest.param(
            HierarchicalNMF((6, 2), random_state=0, max_iter=5), marks=pytest.mark.exhaustive
        ),
        NeuralNMF((6, 2), random_state=0, max_iter=5),
        pytest.param(SSNMF(5, random_state=0, max_iter=5), marks=pytest.mark.exhaustive),
        GuidedNMF(5, seeds=[[0, 1], [40]], random_state=0, max_iter=5),
        pytest.param(DeepNMF((6, 2), random_state=0, max_iter=5), marks=pytest.mark.exhaustive),
        UnfoldedNMF(5, max_iter=3),
    ],
    ids=lambda m: type(m).__name__,
)
def test_model_from_a_file_looks_the_same(make, toy, tmp_path):
    model = fit(clone(make), toy.X, *([toy.labels["level_4"]] if isinstance(make, SSNMF) else []))
    given = dict(X=toy.X, features=toy.features, samples=toy.samples)
    view = inspect(model, **given)
    save(model, tmp_path / "model.safetensors")
    again = inspect(load(tmp_path / "model.safetensors"), **given)
    assert wire(again.payload) == wire(view.payload)
    page, other = (
        re.sub(r'"certificate":.*?\]\}', "", open(one.to_html(tmp_path / "a.html")).read())
        for one in (again, view)
    )
    assert page == other  # only the certificate needs the data of the fit


@pytest.mark.parametrize("ranks", [(1,), (200,), (5, 1), (200, 100, 50, 10, 1)], ids=str)
def test_one_to_five_layers_of_one_to_two_hundred_topics(ranks):
    # synthetic: what the factors are does not matter
    rng, shape = np.random.default_rng(0), (300, *ranks)
    layers = [
        Layer(rng.random((a, b)) ** 8, rng.random((b, 40)) ** 8, 0.5, 0.4, 0.0, 0, [], [])
        for a, b in itertools.pairwise(shape)
    ]
    for given in (
        {},
        dict(features=[NASTY + str(i) for i in range(300)], samples=[(NASTY, NASTY)] * 40),
        dict(shape=(300,)),
        dict(shape=(20, 15)),
    ):
        view = inspect(layers, **given)
        assert len(view.data) == sum(ranks) and len(wire(view.payload)) < 450_000
        assert view.select(0, ranks[0] - 1).select(-1, 0).controls.children[1].value == 0


# --- curves and classes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, n",
    [
        (dict(shape=(87,)), 87),
        (dict(features=np.linspace(900, 400, 87)), 87),
        (dict(features=np.arange(87)), 87),
    ],
)
def test_ordered_features_make_curves(models, toy, given, n):
    data = json.loads(wire(inspect(models["stepwise"], X=toy.X, **given).payload))
    assert data["shape"] == [n] == [len(data["axis"])]
    at = given.get("features", np.arange(87))
    np.testing.assert_allclose(data["axis"], at, rtol=1e-5)
    Phi = topic_features(models["stepwise"].layers_, 1)
    for j, topic in enumerate(data["layers"][1]["topics"]):
        sent = np.frombuffer(base64.b64decode(topic["image"]), np.uint8)
        np.testing.assert_allclose(sent, Phi[:, j] / Phi[:, j].max() * 255, atol=0.51)
    assert {len(point["images"]) for point in data["points"].values()} == {4}
    top = np.argmax(Phi[:, 0])
    name = f"{at[top]:.5g}" if "features" in given else f"x{top}"
    assert inspect(models["stepwise"], **given).data.loc[(1, 0), "name"] == f"peak at {name}"


def test_long_curves_are_thinned():
    layers = [
        Layer(np.random.default_rng(0).random((5000, 3)), np.ones((3, 4)), 0.5, 0.4, 0.0, 0, [], [])
    ]
    data = inspect(layers, features=np.linspace(0, 1, 5000)).payload
    assert data["shape"] == [300] == [len(data["axis"])] and len(wire(data)) < 20_000
    # no order, no curve
    assert inspect(layers, features=np.r_[np.zeros(2500), np.ones(2500)]).payload["shape"] is None


@pytest.mark.parametrize("label_loss", ["frobenius", "cross_entropy"])
def test_topics_say_for_which_classes_they_speak(toy, label_loss):
    y = np.array([f"class <{c}>" for c in toy.labels["level_4"]])
    model = fit(
        NeuralNMF((6, 4), max_iter=30, lam=1.0, label_loss=label_loss, random_state=0), toy.X, y
    )
    data = inspect(model).payload
    assert all("classes" not in topic for topic in data["layers"][0]["topics"])
    for topic in data["layers"][1]["topics"]:
        parts = [part for _, part in topic["classes"]]
        assert 1 <= len(parts) <= 3 and parts == sorted(parts, reverse=True) and sum(parts) <= 1.01
    best = {topic["classes"][0][0] for topic in data["layers"][1]["topics"]}
    assert best == set(y)  # four classes, four supertopics, one each


@pytest.mark.parametrize("kind", ["NMF", "stepwise", "neural", "deep"])
def test_history_begins_and_ends_where_training_did(models, kind):
    sent = module.history_of(models[kind])
    history = models[kind].history_
    want = {
        "NMF": lambda: [history["objective"]],
        "deep": lambda: [history["objective"]],
        "stepwise": lambda: history["errors"],
        "neural": lambda: history["errors"].T,
    }[kind]()
    assert sent["lengths"] == [len(one) for one in want]
    for curve, whole in zip(sent["curves"], want):
        np.testing.assert_allclose([curve[0], curve[-1]], [whole[0], whole[-1]], rtol=1e-5)
    assert module.history_of(models[kind].layers_) is None


@pytest.mark.parametrize(
    "kkt, ambiguous, dtype, want",
    [
        (1e-15, 0, float, "good"),
        (1e-15, 3, float, "fair"),
        (1e-6, 0, float, "fair"),
        (1e-6, 0, np.float32, "good"),
        (0.1, 0, float, "poor"),
        (np.nan, 0, float, "poor"),
    ],
)
def test_certificate_light(kkt, ambiguous, dtype, want):
    assert (
        module.light(
            Layer(np.ones((2, 1), dtype), np.ones((1, 2), dtype), 0, 0, kkt, ambiguous, [], [])
        )
        == want
    )


# --- the view -------------------------------------------------------------------------------------


def test_selection_is_scriptable_and_observable(models):
    view, seen = inspect(models["stepwise"]), []
    assert view.selected == (2, int(np.argmax(topic_shares(models["stepwise"].layers_, 2))))
    view.observe(lambda change: seen.append(change.new), "selected")
    assert view.select(0, 3) is view and view.select(-1, 1).selected == (2, 1)
    assert seen == [(0, 3), (2, 1)]
    for layer, topic in ((0, 9), (3, 0), (0, -1), (0, 1.0), (0, True)):
        with pytest.raises(ValueError, match="must be an integer"):
            view.select(layer, topic)
    assert view.selected == (2, 1)


def test_names_are_kept_on_the_model(toy):
    model = fit(HierarchicalNMF(ranks=(4, 2), random_state=0), toy.X)
    inspect(model, features=toy.features).rename(1, 0, NASTY).rename(0, 3, "three")
    assert model.topic_names_[0, 3] == "three" and 70 < len(model.topic_names_[1, 0]) <= 80
    again = inspect(model, features=toy.features)
    assert again.data.loc[(0, 3), "name"] == "three" and "three" in repr(again)
    again.rename(0, 3, "")
    assert (0, 3) not in model.topic_names_ and again.data.loc[(0, 3), "name"].startswith("t")
    with pytest.raises(ValueError):
        again.rename(0, 4, "no such topic")
    model.topic_names_ = {(7, 7): "of an older fit"}
    assert inspect(model).names == {}


@pytest.mark.parametrize(
    "travel",
    [
        lambda model, path: model,
        lambda model, path: pickle.loads(pickle.dumps(model)),
        lambda model, path: [save(model, path), load(path)][1],
    ],
)
def test_names_survive_files_but_not_another_fit(toy, tmp_path, travel):
    model = fit(HierarchicalNMF(ranks=(4, 2), random_state=0), toy.X)
    inspect(model).rename(0, 3, "three")
    model = travel(model, tmp_path / "model.safetensors")
    assert inspect(model).names == {"0,3": "three"}
    fit(model, toy.X[::2])
    assert inspect(model).names == {} and not model.topic_names_


def test_names_never_land_on_another_fit(toy):
    model = fit(HierarchicalNMF(ranks=(4, 2), random_state=0), toy.X)
    view = inspect(model).rename(0, 0, "mine")
    fit(model.set_params(ranks=(3, 2)), toy.X)
    with pytest.raises(ValueError, match="fitted again since"):
        view.rename(0, 1, "b")
    assert view.names == {"0,0": "mine"} and inspect(model).names == {}
    pytest.importorskip("anywidget")
    view.widget.names = {"0,0": "mine", "0,1": "b"}  # what the page would do
    assert "fitted again" in view.widget.error and view.widget.names == {"0,0": "mine"}
    assert inspect(model).names == {}


def test_names_go_through_a_file(toy, tmp_path):
    model = fit(HierarchicalNMF(ranks=(4, 2), random_state=0), toy.X)
    path = inspect(model).rename(0, 3, "größer 主題").save_names(tmp_path / "names.json")
    same = fit(HierarchicalNMF(ranks=(4, 2), random_state=0), toy.X)
    assert inspect(same).load_names(path).names == {"0,3": "größer 主題"}
    assert same.topic_names_ == {(0, 3): "größer 主題"}
    other = fit(HierarchicalNMF(ranks=(4, 2), random_state=0), toy.X[:-5])
    with pytest.raises(ValueError, match="another fit"):
        inspect(other).load_names(path)
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ValueError, match="no names of topics"):
        inspect(same).load_names(tmp_path / "list.json")


def test_whole_texts_are_read_on_demand(genes):
    m, _ = genes.payload["layers"][0]["topics"][3]["points"][0]
    text = datasets.gene_ontology().text[m]
    answer = module.answer(genes, {"read": m, "topic": [0, 3]})
    assert answer["text"] == text and answer["rest"] == 0
    assert answer["marks"] and all(word in text.lower() for word, _ in answer["marks"])
    assert all(0.4 < sure <= 1 for _, sure in answer["marks"])
    with pytest.raises(ValueError, match="no data point 1000000"):
        module.answer(genes, {"read": 10**6, "topic": [0, 3]})
    parts = SimpleNamespace(**{**vars(genes.documents.parts)})
    short = module.Documents(parts, longest=10).read(m, 0, 3)
    assert short["text"] == text[:10] and short["rest"] == len(text) - 10


def test_words_belong_to_the_topic_that_explains_them_best():
    lift = np.array([[5, 1], [1, 1], [2, 3.0]])
    share = np.array([0.5, 0.5])
    # sure and specific; not specific; another topic's
    np.testing.assert_allclose(speaking(lift, share, 0), [5 / 6, 0, 0])
    np.testing.assert_allclose(speaking(lift, share, 1), [0, 0, 0.6])


@pytest.mark.parametrize("texts", ["whole", "opening", None])
def test_page_holds_as_much_of_texts_as_was_said(genes, tmp_path, texts):
    page = open(genes.to_html(tmp_path / "page.html", texts=texts), encoding="utf-8").read()
    state = json.loads(re.search(r'id="state">(.*?)</script>', page, re.DOTALL)[1])
    assert any(one["text"] for one in state["payload"]["points"].values()) == (texts is not None)
    assert state["documents"]["kind"] == texts and ("texts" in state["documents"]) == bool(texts)
    with pytest.raises(ValueError, match="texts must be"):
        genes.to_html(tmp_path / "page.html", texts="all")


def test_what_the_page_says_of_itself(genes, tmp_path):
    path = genes.to_html(tmp_path / "page.html", title="<b>Genes</b>", note="From <i>GO</i>.")
    page = open(path, encoding="utf-8").read()
    assert "<title>&lt;b&gt;Genes&lt;/b&gt;</title>" in page and "<i>GO" not in page
    data = genes.payload
    assert data["heading"] == "12 topics in 4 themes"
    first, second = (one["fit"]["captured"] for one in data["layers"])
    assert f"12 topics explain {100 * first:.0f}%, 4 themes explain {100 * second:.0f}%" in page
    assert "float64" not in repr(genes) + page


def test_script_is_one_text():
    script = module.script("editor.js")
    assert not re.search(r"^(import|export (?!default))", script, re.MULTILINE)
    modules = {path.name: path.read_text() for path in files("nnmf_nb.inspector").glob("*.js")}
    bound = r"^(?:export )?(?:async )?(?:function|const|let) (\w+)"
    names = [
        name
        for module_name, text in modules.items()
        if module_name != "live.js"  # the script of another widget
        for name in re.findall(bound, text, re.MULTILINE)
    ]
    assert len(names) == len(set(names)) > 100
    assert "renderLive" in module.script("live.js")
    # comments are left out, and lines begin without spaces: no string may go over two lines
    assert "\n//" not in script and "/**" not in script
    assert all(line.count("`") % 2 == 0 for line in script.split("\n"))


def test_table_of_topics(models, toy):
    model, table = models["stepwise"], inspect(models["stepwise"], features=toy.features).data
    assert table.index.names == ["layer", "topic"] and table.loc[(2, 0), "parent"] == -1
    up = flows(model.layers_, 1)
    assert table.loc[0, "parent"].tolist() == up.argmax(axis=1).tolist()
    np.testing.assert_allclose(table.loc[0, "part"], up.max(axis=1) / up.sum(axis=1), rtol=2e-3)
    assert (
        table.loc[(0, 0), "features"].split()
        == model.topics(0, toy.features, 8).iloc[0, 1:].tolist()
    )


def test_stills_escape_and_name_no_address(models, toy, tmp_path):
    samples = [(NASTY, "</script><script>document.title = 1</script>")] * 90
    view = inspect(
        models["stepwise"], X=toy.X, features=[NASTY + str(i) for i in range(87)], samples=samples
    ).rename(2, 0, NASTY)
    text = view._repr_mimebundle_()["text/html"]
    assert "<img" not in text and "&lt;img" in text
    whole = open(view.to_html(tmp_path / "page.html"), encoding="utf-8").read()
    assert "<img" not in whole and whole.count("</script>") == 2
    assert not re.search(
        r"https?:|//[a-z0-9.-]+\.[a-z]{2,}/|\bsrc=|url\(|@import|\bfrom ['\"]|import\(",
        whole.replace(NASTY, "").replace("src=x", ""),
    )
    state = json.loads(re.search(r'id="state">(.*?)</script>', whole, re.DOTALL)[1])
    assert state["payload"] == json.loads(wire(view.payload)) and state["selected"] == list(
        view.selected
    )


def test_widget_mirrors_the_view_and_shows_errors(models):
    pytest.importorskip("anywidget")
    view = inspect(models["neural"])
    widget = view.widget
    assert view.widget is widget and widget.payload == view.payload
    view.select(0, 5)
    assert widget.selected == [0, 5]
    widget.selected = [1, 2]  # what a click does
    assert view.selected == (1, 2)
    widget.names = {"1,2": "clicked"}
    assert models["neural"].topic_names_ == {(1, 2): "clicked"}
    view.rename(1, 2, "")
    assert widget.names == {}
    widget.selected = [1, 99]
    assert "topic must be" in widget.error and view.selected == (1, 2)
    widget.selected = [1, 1]
    assert widget.error == ""


def test_bundle_has_a_view_and_stills(models):
    pytest.importorskip("anywidget")
    bundle = inspect(models["neural"])._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}


def test_without_anywidget_there_are_plain_controls():
    pytest.importorskip("ipywidgets")
    code = """
import sys
sys.modules["anywidget"] = None
from nnmf_nb import HierarchicalNMF, inspect, datasets
toy = datasets.toy(0)
view = inspect(HierarchicalNMF((5, 2), random_state=0, max_iter=5, tol=1).fit(toy.X), X=toy.X,\
 features=toy.features)
assert set(view._repr_mimebundle_()) == {"application/vnd.jupyter.widget-view+json",\
 "text/plain", "text/html"}
layer, topic, lam, name, said, card = view.controls.children
assert layer.value == 1 and topic.value == view.selected[1] and "layer 1, topic" in card.value
layer.value = 0
assert view.selected == (0, view.payload["layers"][0]["order"][0]) and len(topic.options) == 5
topic.value = 3
assert view.selected == (0, 3) and "layer 0, topic 3" in card.value
frequent = card.value
lam.value = 0
assert card.value != frequent and view.selected == (0, 3)
name.value = "<b>mine</b>"
assert view.model.topic_names_ == {(0, 3): "<b>mine</b>"} and "&lt;b&gt;mine" in card.value\
 and "<b>mine" not in card.value
view.select(1, 0)
assert (layer.value, topic.value, name.value) == (1, 0, "") and len(topic.options) == 2
view.select(0, 3)
name.value = ""
assert view.names == {}
type(view).rename = lambda *given: 1 / 0
name.value = "other"
print(said.value)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    # an error in a handler is shown
    assert done.returncode == 0 and "ZeroDivisionError" in done.stdout, done.stderr


def test_without_any_widgets_there_are_stills():
    code = """
import sys
sys.modules["anywidget"] = sys.modules["ipywidgets"] = None
from nnmf_nb import NMF, inspect, datasets
view = inspect(NMF(3, random_state=0, max_iter=5, tol=1).fit(datasets.toy(0).X))
print(view.select(0, 1).rename(0, 1, "mine"))
assert set(view._repr_mimebundle_()) == {"text/plain", "text/html"} and\
 "mine" in view._repr_mimebundle_()["text/html"]
for part, name in (("widget", "anywidget"), ("controls", "ipywidgets")):
    try:
        getattr(view, part)
    except ImportError as error:
        print(part, f"pip install {name}" in str(error))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("NMF: 90 data points") and "mine" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["widget True", "controls True"]


def test_traits_refuse_nonsense(models):
    with pytest.raises(traitlets.TraitError):
        inspect(models["NMF"]).selected = "first"


# --- the page in a browser ------------------------------------------------------------------------

ABSENT = (
    "playwright is not installed"
    if find_spec("playwright") is None
    else "no chromium on the PATH"
    if find_chromium() is None
    else ""
)
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(ABSENT), reason=f"BROWSER TEST NOT RUN: {ABSENT}"),
]


def browser_tests(function):
    for mark in needs_browser:
        function = mark(function)
    return function


@pytest.fixture
def open_page(chromium, tmp_path):
    """Opens what to_html wrote, from disk and with the network off; fails on any request, error or
    message of the console.
    """
    contexts, trouble = [], []

    def opened(view, width=1200, scheme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            offline=True,
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith(("file:", "data:")) else trouble.append(request.url)
            ),
        )
        page.goto(view.to_html(tmp_path / f"{len(contexts)}.html").as_uri())
        page.wait_for_selector(".node.selected")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not trouble


def node(page, l, j):
    return page.locator(f'.node[data-key="{l},{j}"]')


def state(page):
    return page.locator(".topic").inner_text(), page.locator(".documents").inner_text()


def shown_features(page):
    rows = page.locator(".feature").evaluate_all(
        "rows => rows.sort((a, b) => a.dataset.rank - b.dataset.rank)"
        ".map(row => row.children[0].textContent)"
    )
    return list(rows)


@browser_tests
def test_page_opens_on_the_largest_supertopic(open_page, genes):
    page = open_page(genes)
    l, j = genes.selected
    assert node(page, l, j).get_attribute("aria-pressed") == "true"
    assert page.locator(".node").count() == 16 and page.locator(".alert").inner_text() == ""
    topic = genes.payload["layers"][l]["topics"][j]
    assert shown_features(page) == [genes.payload["features"][i] for i in topic["features"][:12]]


@browser_tests
def test_click_on_a_supertopic_then_on_its_subtopic(open_page, genes):
    page = open_page(genes)
    other = (genes.selected[1] + 1) % 4
    before = state(page)
    node(page, 1, other).locator(".bar").click()
    above = state(page)
    assert above[0] != before[0] and above[1] != before[1] and f"theme {other} ·" in above[0]
    page.locator(".topic .chip").first.click()
    child = max(
        (f for f in genes.payload["layers"][1]["flows"] if f[1] == other), key=lambda f: f[3]
    )[0]
    below = state(page)
    assert f"topic {child} ·" in below[0] and below[1] != above[1]
    m, share = genes.payload["layers"][0]["topics"][child]["points"][0]
    assert genes.payload["points"][str(m)]["name"] in below[1]


@browser_tests
def test_slider_reorders_the_features(open_page, genes):
    page = open_page(genes)
    data, (l, j) = genes.payload, genes.selected
    topic = data["layers"][l]["topics"][j]
    page.locator("input[type=range]").focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    relevance = [
        np.log(w) - np.log(data["frequency"][i])
        for i, w in zip(topic["features"], topic["weights"])
    ]
    want = [
        data["features"][topic["features"][n]]
        for n in np.argsort(-np.array(relevance), kind="stable")[:12]
    ]
    assert shown_features(page) == want and "λ" not in page.locator("body").inner_text()


@browser_tests
def test_keyboard_alone_reaches_everything(open_page, genes):
    page = open_page(genes)
    l, j = genes.selected
    for _ in range(8):  # search, guide, names, levels, then the selected topic
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('node')"):
            break
    order = genes.payload["layers"][1]["order"]
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    assert f"theme {order[1]} ·" in state(page)[0]
    page.keyboard.press("ArrowRight")
    child = max(
        (f for f in genes.payload["layers"][1]["flows"] if f[1] == order[1]), key=lambda f: f[3]
    )[0]
    assert f"topic {child} ·" in state(page)[0]
    page.keyboard.press("End")
    assert f"topic {genes.payload['layers'][0]['order'][-1]} ·" in state(page)[0]
    page.keyboard.press("ArrowLeft")
    assert re.search(r"\btheme \d+ ·", state(page)[0])
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"


@browser_tests
def test_search_lights_topics_and_enter_selects(open_page, genes):
    page = open_page(genes)
    page.keyboard.press("/")
    page.keyboard.type("MEMBR")
    lit = set(page.locator(".node.lit").evaluate_all("nodes => nodes.map(n => n.dataset.key)"))
    hits = {i for i, name in enumerate(genes.payload["features"]) if "membr" in name}
    topics = [
        (f"{l},{j}", t)
        for l, layer in enumerate(genes.payload["layers"])
        for j, t in enumerate(layer["topics"])
    ]
    assert lit == {key for key, topic in topics if hits & set(topic["features"])} and lit
    page.keyboard.press("Enter")
    assert page.locator(".feature mark").count() >= 1
    page.keyboard.press("/")
    page.keyboard.type("xyzzy")
    page.locator(".word", has_text="xyzzy” is in no word of the model").wait_for()
    assert "0 words" in page.locator(".search").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("svg.busy").count() == 0


@browser_tests
def test_hover_lights_the_family(open_page, genes):
    page = open_page(genes)
    flow = genes.payload["layers"][1]["flows"]
    node(page, 0, 3).hover()
    lit = set(page.locator(".node.lit").evaluate_all("nodes => nodes.map(n => n.dataset.key)"))
    assert lit == {"0,3", *(f"1,{j}" for i, j, up, _ in flow if i == 3 and up >= 0.1)}
    node(page, 1, 0).hover()
    lit = set(page.locator(".node.lit").evaluate_all("nodes => nodes.map(n => n.dataset.key)"))
    assert lit == {"1,0", *(f"0,{i}" for i, j, up, _ in flow if j == 0 and up >= 0.1)}


@browser_tests
def test_rename_in_the_page(open_page, genes):
    page = open_page(genes)
    page.locator(".rename").click()
    page.keyboard.type(NASTY[:40].replace("\u0000", ""))
    page.keyboard.press("Enter")
    assert page.locator(".topic h3").inner_text().startswith("<img src=x")
    assert page.locator("img").count() == 0 and page.title().startswith("12 topics in 4 themes")
    # a long name stays on one line where it is listed
    page.locator(".rename").click()
    page.keyboard.type("an extraordinarily long name for one of these themes")
    page.keyboard.press("Enter")
    page.locator(".topic .chip").first.click()
    chips = page.locator(".topic .chip, .documents .chip")
    assert "an extraordinarily long" in "".join(chips.all_inner_texts())
    boxes = [one.bounding_box() for one in chips.all()]
    assert max(box["height"] for box in boxes) < 30
    assert max(box["x"] + box["width"] for box in boxes) < 1200


def sticking_out(page):
    """Texts and pictures of the layers that leave their pane (hidden ones, which a hover shows,
    too).
    """
    return page.evaluate("""() => {
      const pane = document.querySelector(".layers").getBoundingClientRect();
      return [...document.querySelectorAll(".layers svg text, .layers svg image,\
 .layers svg .curve")].map((one) => [one.textContent, one.getBoundingClientRect()])
        .filter(([, box]) => box.width && (box.left < pane.left - 2 || box.right > pane.right + 2))\
.map(([text]) => text);
    }""")


@browser_tests
def test_curves_are_drawn(open_page, models, toy):
    # layers have no names from other tests
    page = open_page(
        inspect(models["stepwise"].layers_, X=toy.X, features=np.linspace(400, 900, 87))
    )
    assert (
        page.locator(".layers svg.curve").count() == 15
        and page.locator(".spectrum svg.curve").count() == 1
    )
    assert page.locator(".spectrum .x").inner_text().split() == ["400", "900"]
    assert "peaks at" in page.locator(".spectrum").inner_text()
    # the data and three depths
    assert page.locator(".example").first.locator("svg.curve").count() == 4
    peak = page.locator(".topic h3").inner_text()
    assert peak.startswith("peak at "), peak
    node(page, 0, 4).locator(".bar").click()
    page.locator(".topic", has_text="level 0, topic 4").wait_for()


@browser_tests
def test_fit_pane_has_labeled_curves_above_their_floors(open_page, models):
    page, view = open_page(inspect(models["neural"])), inspect(models["neural"])
    assert not page.locator(".chart").first.is_visible()
    page.get_by_text("How good is this fit?").click()
    heads = page.locator("details.fit th").all_inner_texts()
    assert heads[-2:] == ["captured", "coefficients"] and "certificate" not in heads
    assert page.locator(".chart").count() == 3 and page.locator(".chart path.floor").count() == 3
    for l, one in enumerate(models["neural"].layers_):
        chart = page.locator(".history .depth").nth(l)
        high, low = map(float, chart.locator(".y").inner_text().split())
        assert low == pytest.approx(one.floor, abs=2e-3) and high == pytest.approx(
            max(view.payload["history"]["curves"][l]), abs=2e-3
        )
        assert (
            f"iteration {len(models['neural'].history_['errors'])}"
            in chart.locator(".x").inner_text()
        )
        box = chart.locator(".plot").bounding_box()
        assert box["height"] > 50 and box["width"] > 200


@browser_tests
def test_classes_are_on_the_card(open_page, toy):
    model = fit(
        HierarchicalNMF((6, 4), random_state=0, max_iter=30),
        toy.X,
        np.array([f"class <{c}>" for c in toy.labels["level_4"]]),
    )
    view = inspect(model)
    page = open_page(view)
    best = view.payload["layers"][1]["topics"][view.selected[1]]["classes"][0][0]
    assert "speaks for" in page.locator(".topic").inner_text() and page.locator(
        ".chip.class"
    ).first.inner_text().startswith(best)


SCHEMES = ("light", "dark")


@browser_tests
@pytest.mark.parametrize(
    "scheme, every",
    [("dark", False), *(pytest.param(s, True, marks=pytest.mark.exhaustive) for s in SCHEMES)],
)
def test_schemes_and_narrow_pages(open_page, genes, models, toy, scheme, every):
    nasty = inspect(
        models["stepwise"], X=toy.X, features=[NASTY] * 87, samples=[(NASTY, NASTY)] * 90
    )
    curves = inspect(models["stepwise"], X=toy.X, shape=(87,))
    views = [
        (genes, 400),
        (nasty, 400),
        (inspect(models["NMF"], shape=(29, 3)), 400),
        (curves, 1200),
    ]
    if every:
        views += [
            (genes, 1200),
            (inspect(models["five"]), 400),
            (curves, 400),
            (inspect(models["neural"], shape=(29, 3)), 400),
            (inspect(models["NMF"]), 1200),
        ]
    for number, (view, width) in enumerate(views):
        page = open_page(view, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("img").count() == 0
        assert (number, sticking_out(page)) == (number, [])
        assert (number, page.locator("body").evaluate(FAINT)) == (number, [])
        style = page.evaluate(
            "(({ color, backgroundColor }) => [color, backgroundColor])"
            "(getComputedStyle(document.querySelector('.nnmf')))"
        )
        ink, ground = (sum(map(int, re.findall(r"\d+", one)[:3])) for one in style)
        assert (ink < ground) == (scheme == "light") and abs(ink - ground) > 400
        if "SCREENSHOTS" in os.environ:  # a folder, for whoever wants to look at them
            page.screenshot(
                path=f"{os.environ['SCREENSHOTS']}/inspector_{number}_{scheme}_{width}.png",
                full_page=True,
            )
        page.close()  # many open pages and their pictures are too much for a small machine


@browser_tests
@pytest.mark.parametrize(
    "kind",
    [
        "neural",
        "dead",
        *(
            pytest.param(kind, marks=pytest.mark.exhaustive)
            for kind in KINDS
            if kind not in ("neural", "dead")
        ),
    ],
)
def test_every_model_opens(open_page, models, kind):
    page = open_page(inspect(models[kind]))
    shown = page.locator(".node").count()
    folded = page.locator(".group title").all_text_contents()  # such as "130 more topics of .."
    hidden = sum(int(text.split()[0]) for text in folded)
    assert shown + hidden == sum(one.rank for one in models[kind].layers_)
    page.locator(".node.selected").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft", "End"):
        page.keyboard.press(key)
    assert page.locator(".alert").inner_text() == ""


# --- faults that a reader met ---------------------------------------------------------------------

# Every number of the page for every topic: clicks each topic and reads.
WALK = """() => {
  for (const one of document.querySelectorAll(".toggles button")) one.click();
  const text = (one) => one.textContent;
  const keyIn = (chip) => chip.dataset.key.split(",").map(Number);
  const read = (key) => {
    document.querySelector(`.node[data-key="${key}"]`)
      .dispatchEvent(new MouseEvent("click", { bubbles: true }));
    const kin = [...document.querySelectorAll(".kin > div")].map((row) => [
      row.previousSibling.textContent,
      [...row.querySelectorAll("button.chip")].map((chip) => [keyIn(chip),\
 chip.querySelector(".num")?.textContent])]);
    return {
      key: key.split(",").map(Number), facts: text(document.querySelector(".topic .facts")), kin,
      features: [...document.querySelectorAll(".feature")].map((row) => [text(row.children[0]),\
 text(row.children[2])]),
      examples: [...document.querySelectorAll(".example")].map((one) => ({
        point: Number(one.dataset.point), own: text(one.querySelector(".line .num")),
        parts: [...one.querySelectorAll(".parts li")].map((row) => [
          row.querySelector("button")?.dataset.key ?? null, text(row.querySelector(".num"))]),
        bar: [...one.querySelectorAll(".stack span")].map((piece) => parseFloat(piece.style.width)),
      })),
    };
  };
  const keys = [...document.querySelectorAll(".node")].map((node) => node.dataset.key);
  return { topics: keys.map(read),
    fit: [...document.querySelectorAll("details.fit tbody tr:not(.remarks)")]
      .map((row) => [...row.children].map(text)) };
}"""


def shows(shown, part, digits=0):
    """Whether a percentage on the page is that part, to what is shown (four digits travel)."""
    if shown == "<1%":
        return 0 < part < 0.01
    return abs(float(shown.rstrip("%")) - 100 * part) <= 0.5 * 10**-digits + 0.06


@browser_tests
@pytest.mark.parametrize(
    "kind",
    ["genes"]
    + [
        pytest.param(kind, marks=pytest.mark.exhaustive)
        for kind in ("neural", "NMF", "deep", "many")
    ],
)
def test_no_number_contradicts_the_model(open_page, models, genes, toy, kind):
    view = genes if kind == "genes" else inspect(models[kind], features=toy.features)
    layers = view.model.layers_
    page = open_page(view)
    walk = page.evaluate(WALK)
    assert len(walk["topics"]) == sum(one.rank for one in layers)
    shares = [topic_shares(layers, l) for l in range(len(layers))]
    points = [exact_shares(layers, l) for l in range(len(layers))]
    phi = [topic_features(layers, l) for l in range(len(layers))]
    phi = [one / np.maximum(one.sum(axis=0), 1e-300) for one in phi]
    number = {name: i for i, name in enumerate(view.documents.parts.known)}
    flow = [None, *(flows(layers, l) for l in range(1, len(layers)))]
    for topic in walk["topics"]:
        l, j = topic["key"]
        call = f"level {l}, topic {j}" if len(layers) > 2 else f"{('topic', 'theme')[l]} {j}"
        assert topic["facts"].startswith(f"{call} · ")
        assert shows(topic["facts"].split(" · ")[1].split(" of ")[0], shares[l][j])
        for name, part in topic["features"]:
            assert shows(part, phi[l][number[name], j], 1)
        for what, chips in topic["kin"]:
            for (m, i), part in chips:
                if what == "made of":
                    assert m == l - 1 and shows(part, flow[l][i, j] / flow[l][:, j].sum())
                if what == "flows into":
                    assert m == l + 1 and shows(part, flow[m][j, i] / flow[m][j].sum())
        for one in topic["examples"]:
            exact = points[l][:, one["point"]]
            assert shows(one["own"], exact[j])
            parts = [(key, part) for key, part in one["parts"] if key is not None]
            # the topic is among them, all at its layer, and they add up to all
            assert f"{l},{j}" in dict(parts)
            for (key, part), width in zip(parts, one["bar"], strict=True):
                m, i = map(int, key.split(","))
                assert m == l and shows(part, exact[i]) and abs(width - 100 * exact[i]) < 0.06
            # to rounding: each number is the one that stands elsewhere
            total = sum(float(part.strip("<%")) for _, part in one["parts"])
            assert total == pytest.approx(100, abs=1 + len(one["parts"]) / 4)
    for (depth, rank, _, error, floor, *_), one in zip(walk["fit"], layers, strict=True):
        assert int(rank) == one.rank and float(error) == pytest.approx(one.error, abs=6e-4)
        assert depth and float(floor) == pytest.approx(one.floor, abs=6e-4)
    assert page.locator(".alert").inner_text() == ""


@browser_tests
def test_whole_text_opens_with_its_words_marked(open_page, genes):
    page = open_page(genes)
    node(page, 0, 3).click()
    first = page.locator(".example").first
    m = int(first.get_attribute("data-point"))
    text = datasets.gene_ontology().text[m]
    first.locator(".read").click()
    assert first.locator(".text").inner_text().split() == text.split()
    marks = first.locator(".text mark").all_inner_texts()
    assert marks and {word.lower() for word in marks} <= set(
        word for word, _ in module.answer(genes, {"read": m, "topic": [0, 3]})["marks"]
    )
    first.locator(".read").click()
    assert first.locator("mark").count() == 0


@browser_tests
def test_names_survive_without_a_kernel(open_page, genes, toy, tmp_path):
    page = open_page(genes)
    node(page, 0, 2).click()
    page.locator(".rename").click()
    page.keyboard.type("from the page")
    page.keyboard.press("Enter")
    page.reload()
    page.wait_for_selector(".node.selected")
    node(page, 0, 2).click()
    page.locator(".topic h3", has_text="from the page").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="download").click()
    file = tmp_path / "names.json"
    download.value.save_as(file)
    view = inspect(genes.model, features=genes.documents.parts.known).load_names(file)
    assert view.names["0,2"] == "from the page"
    genes.names = {}  # other tests use this model
    other = open_page(inspect(fit(NMF(5, random_state=1), toy.X)))
    other.locator("input[type=file]").set_input_files(file)
    other.locator(".alert", has_text="another fit").wait_for()
    again = open_page(genes)
    again.locator("input[type=file]").set_input_files(file)
    again.locator(".node .name", has_text="from the page").wait_for()


@browser_tests
def test_page_says_what_it_is(open_page, genes, tmp_path):
    page = open_page(genes)
    page.goto(genes.to_html(tmp_path / "own.html", "My <title>", "Source: me").as_uri())
    assert page.locator("h1").inner_text() == page.title() == "My <title>"
    assert page.locator(".note").inner_text() == "Source: me"
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4')].map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1 and max(np.diff(levels)) <= 1
    page.get_by_text("How to read this page").click()
    assert "share" in page.locator(".guide").inner_text()


@browser_tests
@pytest.mark.parametrize(
    ("width", "panes"),
    [(1000, ["topic"]), (1400, ["map", "topic"])],  # as they stand there
)
def test_tab_goes_from_the_topic_to_its_slider_before_the_examples(open_page, genes, width, panes):
    page = open_page(genes, width)
    page.locator(".node.selected").focus()
    seen = []
    for _ in range(14 * len(panes)):
        page.keyboard.press("Tab")
        pane = page.evaluate("document.activeElement.closest('.panes > *').classList[0]")
        seen += [] if pane in seen else [pane]
        if page.evaluate("document.activeElement.type") == "range":
            break
    assert page.evaluate("document.activeElement.type") == "range" and seen == panes


@browser_tests
def test_printed_page_keeps_its_bars(open_page, genes):
    page = open_page(genes)
    page.emulate_media(media="print")
    style = "(one) => getComputedStyle(one).printColorAdjust"
    for part in (".track i", ".stack span", ".gauge i"):
        assert page.locator(part).first.evaluate(style) == "exact"
    assert not page.locator(".search").is_visible() and page.locator(".topic h3").is_visible()


OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll(".layers svg .text, .layers svg .group text,\
 .layers svg .head")].map((one) => [one.textContent, one.getBoundingClientRect()]);
  const cut = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1.5;
  return boxes.flatMap(([text, a], n) => boxes.slice(n + 1).filter(([, b]) => cut(a, b))
    .map(([other]) => [text, other]));
}"""


# texts below WCAG's contrast (4.5, large ones 3), with their contrast
FAINT = """(root) => {
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (color, ground) => {
    pixel.fillStyle = ground;
    pixel.fillRect(0, 0, 1, 1);
    pixel.fillStyle = color;
    pixel.fillRect(0, 0, 1, 1);
    return `rgb(${[...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3)})`;
  };
  const groundOf = (one) =>
    one ? over(getComputedStyle(one).backgroundColor, groundOf(one.parentElement)) : "white";
  const luminance = (color) => color.match(/\\d+/g).map((part) => part / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const hasText = (one) => [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  const texts = [...root.querySelectorAll("*")].filter((one) => hasText(one)
    && one.checkVisibility() && !one.closest(":disabled, option, style"));
  return texts.map((one) => {
    const style = getComputedStyle(one), ground = groundOf(one);
    const ink = over(one instanceof SVGElement ? style.fill : style.color, ground);
    const [low, high] = [luminance(ink), luminance(ground)].sort((a, b) => a - b);
    const needed = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
    return [(high + 0.05) / (low + 0.05), needed, one.textContent.trim().slice(0, 60)];
  }).filter(([contrast, needed]) => contrast < needed);
}"""

SMALL_TARGETS = """() => [...document.querySelectorAll("button, a[href], summary, input, select,\
 textarea, [role=button], [tabindex='0'], rect.hit")].filter((one) => one.checkVisibility())
  .map((one) => [one.textContent.trim().slice(0, 40), one.getBoundingClientRect()])
  .filter(([, { width, height }]) => Math.min(width, height) < 23.9)
  .map(([text, { width, height }]) => [text, width, height])"""


@pytest.fixture(scope="module")
def deep_layers():
    """Five layers of up to 200 topics; what the factors are does not matter."""
    rng = np.random.default_rng(0)
    return [
        Layer(rng.random((a, b)) ** 12, rng.random((b, 40)) ** 8, 0.5, 0.4, 0.0, 0, [], [])
        for a, b in itertools.pairwise((300, 200, 100, 50, 20, 8))
    ]


@browser_tests
@pytest.mark.parametrize("width", [1400, pytest.param(400, marks=pytest.mark.exhaustive)])
def test_labels_do_not_overprint(open_page, deep_layers, genes, width):
    names = [f"{a}{b}" for a in "correct horse battery staple".split() for b in range(75)]
    deep = inspect(deep_layers, features=names)
    for view in (deep, genes):
        page = open_page(view, width)
        assert page.evaluate(OVERLAPS) == [] and sticking_out(page) == []
        sizes = page.locator(".layers svg text").evaluate_all(
            "all => all.map((one) => parseFloat(getComputedStyle(one).fontSize))"
        )
        assert min(sizes) >= 11
        heights = page.locator(".layers .hit").evaluate_all(
            "all => all.map((one) => one.getBoundingClientRect().height)"
        )
        assert min(heights) > 14
        assert width > 400 or page.evaluate(SMALL_TARGETS) == []
    page = open_page(deep, width)
    # folded topics come out when they are asked for
    assert page.locator(".node").count() < 200
    page.get_by_role("button", name="show all 200 topics of level 0").click()
    assert page.locator('.node[data-key^="0,"]').count() == 200
    assert page.evaluate(OVERLAPS) == [] and page.locator(".alert").inner_text() == ""
    assert width > 400 or page.evaluate(SMALL_TARGETS) == []


@browser_tests
def test_opened_texts_and_names_stay_text(open_page, models, toy, tmp_path):
    given = dict(features=[f"{NASTY}{i}" for i in range(87)], samples=[(NASTY, NASTY * 3)] * 90)
    view = inspect(models["stepwise"].layers_, X=toy.X, **given)
    page = open_page(view)
    page.goto(view.to_html(tmp_path / "nasty.html", title=NASTY, note=NASTY).as_uri())
    for button in page.locator(".read").all():
        button.click()
    names = {"fit": view.payload["fit"], "names": {"0,1": NASTY, "9,9": "nowhere"}}
    file = tmp_path / "names.json"
    file.write_text(json.dumps(names))
    page.locator("input[type=file]").set_input_files(file)
    page.locator(".node .name", has_text="<img").first.wait_for()
    assert page.locator("img").count() == 0 and page.title() != "1"
    assert page.locator(".alert").inner_text() == ""


@browser_tests
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_tensors_have_cards_that_hand_and_keys_reach(open_page, tensor_models, tmp_path):
    il2, model = datasets.il2(), tensor_models["samples"]
    view = inspect(model, il2.X, features=il2.names, modes=il2.modes)
    page = open_page(view)
    cards = page.locator(".topic .mode")
    assert [one.split()[0] for one in cards.all_inner_texts()] == ["hour", "dose", "cell"]
    assert cards.locator("svg.curve").count() == 2 and cards.locator(".feature").count() == 8
    l, j = view.selected
    assert page.locator(".topic .title h3").inner_text() == module.label(view.payload, {}, l, j)
    topic = view.payload["layers"][l]["topics"][j]
    assert shown_features(page) == [
        view.payload["features"][i] for i in topic["modes"][2]["features"]
    ]
    first = shown_features(page)
    page.locator("input[type=range]").focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    assert sorted(shown_features(page)) == sorted(first) != shown_features(page)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    word = page.evaluate("document.activeElement.children[0].textContent")
    assert word == shown_features(page)[1]
    page.keyboard.press("Enter")
    assert word in page.locator(".word h3").inner_text()
    before = state(page)
    node(page, l, (j + 1) % 3).locator(".bar").click()
    assert state(page)[0] != before[0] and state(page)[1] != before[1]
    page.locator("input[type=search]").fill("NK")
    assert page.locator(".feature mark").all_inner_texts() == ["NK"]
    nasty = [[f"{NASTY}{m} {i}" for i in range(len(U))] for m, U in enumerate(model.factors_)]
    titles = [f"{NASTY}{m}" for m in range(4)]
    for view, width, scheme in (
        (inspect(model, il2.X, features=nasty, modes=titles), 400, "dark"),
        (inspect(model, il2.X, features=il2.names, modes=il2.modes), 400, "light"),
        (inspect(tensor_models["flat"]), 1400, "dark"),
    ):
        page = open_page(view, width, scheme)
        assert page.locator(".topic .mode").count() == 3
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("img").count() == 0 and page.title() != "1"
        assert sticking_out(page) == [] and page.locator(".alert").inner_text() == ""
        page.close()
