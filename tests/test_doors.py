"""One door: what `fit` takes, every other function takes, and understands in the same way (letters
C, D, I, M, O and the masks of W).
"""

import warnings
from functools import partial

import doors
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zoo
from sklearn.decomposition import NMF as OtherNMF
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler

import nnmf_nb.evaluation.metrics as metrics
import nnmf_nb.plot as plot
from nnmf_nb import (
    NMF,
    SSNMF,
    DeepSemiNMF,
    GuidedNMF,
    NeuralNMF,
    SparseCodingNetwork,
    certify,
    inspect,
    nnls,
    verify,
)
from nnmf_nb.core._validation import read_samples
from nnmf_nb.models._base import hidden_score
from nnmf_nb.plot._colors import names_of

X = doors.data()
HIDDEN = np.random.default_rng(5).random(X.shape) < 0.15
BAD = np.where(HIDDEN, 1e6, X)  # what no door may read
MASKED = np.ma.masked_array(BAD, HIDDEN)
FRAME = pd.DataFrame(X, columns=doors.FEATURES, index=[f"cell {i}" for i in range(len(X))])
REVERSED = FRAME[FRAME.columns[::-1]]
SAME = dict(rtol=1e-10, atol=1e-12, equal_nan=True)


def open_doors(model, X, **known):
    """{door: numbers} of all doors that a fitted model has for X."""
    found = {}
    for name, call in doors.METHODS.items():
        if hasattr(model, name):
            found[name] = doors.numbers(doors.quietly(call, model, X, **known))
    is_tensor = hasattr(model, "mode_shape_")
    if not is_tensor and hasattr(model, "layers_") and hasattr(model.layers_[0], "A"):
        names = doors.WITH_MASK if known else doors.WITH_MODEL
        for name in names:
            call = doors.WITH_MODEL[name]
            found[name] = doors.numbers(doors.quietly(call, model, X, **known))
    elif not known or is_tensor:
        call = doors.WITH_MODEL["verify"]
        found["verify"] = doors.numbers(doors.quietly(call, model, X, **known))
    return found


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], **SAME, err_msg=name)


# --- the registry ---------------------------------------------------------------------------------


def test_every_public_model_and_door_is_in_the_registry():
    """I: a model, method or function that takes X and is not in tests/doors.py fails here."""
    models = doors.public_models()
    assert {*models} == {kind for kind, _, _ in doors.MODELS.values()}
    methods = {name for kind in models.values() for name in doors.methods_with_X(kind)}
    assert methods == {*doors.METHODS, *doors.TRAINING, *doors.HOOKS, *doors.IN_BATCHES}
    assert doors.functions_with_X() == {*doors.FUNCTIONS}


# --- I: containers --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", doors.MODELS)
def test_containers_mean_the_same_to_every_method(name):
    """I: one reader for all models and their doors; duplicates in CSR are added before their signs
    are looked at (N of breaker.md).
    """
    plain, stored = doors.fit(name, X), doors.fit(name, sp.csr_array(X))
    calls = {door: call for door, call in doors.METHODS.items() if hasattr(plain, door)}
    calls["verify"] = doors.WITH_MODEL["verify"]
    expected = {door: doors.numbers(doors.quietly(call, plain, X)) for door, call in calls.items()}
    for kind in doors.CONTAINERS if name in doors.EVERY_CONTAINER else doors.FEW:
        data = doors.CONTAINERS[kind](X)
        model = doors.fit(name, data)
        other = stored if kind in doors.SPARSE else plain
        found, wanted = (
            [m.components_] if hasattr(m, "components_") else m.factors_ for m in (model, other)
        )
        for one, two in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, two, 1e-7, err_msg=kind)
        assert hasattr(model, "certificate_") or kind == "list"
        for door, call in calls.items():
            found = doors.numbers(doors.quietly(call, plain, data))
            np.testing.assert_allclose(
                found, expected[door], rtol=1e-6, atol=1e-8, err_msg=f"{door}, {kind}"
            )
            doors.quietly(call, model, data)


@pytest.mark.parametrize("door", doors.FUNCTIONS)
def test_containers_mean_the_same_to_every_function(door):
    """I: verify, inspect, metrics, plots, nnls and searches take what fit takes."""
    model = doors.fit("NeuralNMF", X)
    extra = (model,) if door in doors.WITH_MODEL else ()
    plain = stored = doors.numbers(doors.quietly(doors.FUNCTIONS[door], *extra, X))
    if door in doors.SEARCHES:  # they fit, and sparse data have starts of their own
        stored = doors.numbers(doors.quietly(doors.FUNCTIONS[door], sp.csr_array(X)))
    takes_long = door.startswith("plot") or door in (*doors.SEARCHES, "map_positions")
    for kind in doors.FEW if takes_long else doors.CONTAINERS:
        data = doors.CONTAINERS[kind](X)
        found = doors.numbers(doors.quietly(doors.FUNCTIONS[door], *extra, data))
        expected = stored if kind in doors.SPARSE else plain
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8, err_msg=kind)


@pytest.mark.parametrize("kind", doors.OTHER_DTYPES)
def test_other_dtypes_mean_their_numbers(kind):
    """I: float32 stays float32 and is as good; booleans and short integers are numbers, in every
    method and function.
    """
    given, meant, close = doors.OTHER_DTYPES[kind]
    whole = np.minimum(X, 9.0) if kind != "boolean" else X > np.median(X)
    data, other = whole.astype(given), whole.astype(given).astype(meant)
    model = doors.fit("NeuralNMF", other)
    calls = {door: call for door, call in doors.METHODS.items() if hasattr(model, door)}
    calls |= {d: call for d, call in doors.WITH_MODEL.items() if not d.startswith("plot")}
    calls = {door: partial(call, model) for door, call in calls.items()}
    calls |= doors.WITHOUT_MODEL
    del calls["regroup"]  # which trains, and rounding chooses where that ends
    for door, call in calls.items():
        found, expected = (doors.numbers(doors.quietly(call, Z)) for Z in (data, other))
        size = np.nanmax(np.abs(expected), initial=1.0)
        np.testing.assert_allclose(found, expected, rtol=close, atol=close * size, err_msg=door)
    fitted = doors.fit("NMF", data)
    dtype = np.float32 if kind == "float32" else np.float64
    assert fitted.components_.dtype == fitted.transform(data).dtype == dtype


# --- C: masked arrays -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", doors.MASKED)
def test_what_a_masked_array_hides_is_unknown(name):
    """C: the same result as `mask=~M`, in fit and at every door."""
    filled = np.where(HIDDEN, 0.0, X)
    known = dict(mask=~HIDDEN)
    model, other = doors.fit(name, MASKED), doors.fit(name, filled, **known)
    assert model.reconstruction_err_ == other.reconstruction_err_
    assert_same(open_doors(model, filled, **known), open_doors(other, filled, **known))
    masked, unmasked = open_doors(model, MASKED), open_doors(model, filled, **known)
    for door in unmasked:
        np.testing.assert_array_equal(masked[door], unmasked[door], err_msg=door)
    gaps = np.where(HIDDEN, np.nan, X)
    if name in doors.LAYERED:
        shown = doors.numbers(doors.shown(inspect(model, gaps)))
        np.testing.assert_array_equal(masked["inspect"], shown)
    assert all(np.nanmax(np.abs(values), initial=0.0) < 1e5 for values in masked.values())
    assert repr(model.certificate_) == repr(other.certificate_)


@pytest.mark.parametrize("name", doors.WITHOUT_MASK)
def test_models_without_a_mask_refuse_hidden_numbers(name):
    """C: with words, not by reading them; a masked array that hides nothing is data."""
    with pytest.raises(ValueError, match=f"hides {HIDDEN.sum()} entries.*takes no mask"):
        doors.fit(name, MASKED)
    model = doors.fit(name, np.ma.masked_array(X, np.zeros_like(HIDDEN)))
    with pytest.raises(ValueError, match="takes no mask"):
        model.transform(MASKED)


@pytest.mark.parametrize("door", doors.WITHOUT_MODEL)
def test_functions_know_what_a_masked_array_hides(door):
    """C: nnls and certify as with `mask=~M`, floors too."""
    found = doors.numbers(doors.WITHOUT_MODEL[door](MASKED))
    if door in doors.CORE:
        filled = np.where(HIDDEN, 0.0, X)
        other = doors.numbers(doors.WITHOUT_MODEL[door](filled, mask=~HIDDEN.T))
        np.testing.assert_array_equal(found, other)
    junk = np.ma.masked_array(np.where(HIDDEN, -np.inf, X), HIDDEN)
    np.testing.assert_array_equal(found, doors.numbers(doors.WITHOUT_MODEL[door](junk)))


@pytest.mark.parametrize("door", doors.SEARCHES)
def test_searches_refuse_hidden_numbers(door):
    """C: with words; a masked array that hides nothing is data (above)."""
    with pytest.raises(ValueError, match=f"hides {HIDDEN.sum()} entries.*takes no mask"):
        doors.SEARCHES[door](MASKED)


def test_a_mask_and_a_masked_array_add_up():
    """C: hidden by either is unknown; rows may be masked one by one, and integers too."""
    known = ~HIDDEN & (np.arange(X.shape[1]) != 2)
    model = NMF(2, random_state=0).fit(MASKED, mask=np.arange(X.shape[1]) + 0 * X != 2)
    other = NMF(2, random_state=0).fit(np.where(known, X, 0), mask=known)
    assert model.reconstruction_err_ == other.reconstruction_err_
    rows, whole = NMF(2, random_state=0).fit(list(MASKED)), NMF(2, random_state=0).fit(MASKED)
    assert rows.reconstruction_err_ == whole.reconstruction_err_
    model = NMF(2, random_state=0).fit(MASKED.astype(int))
    assert model.reconstruction_err_ == whole.reconstruction_err_


@pytest.mark.each_value_once
@pytest.mark.parametrize("name", ["SSNMF", "NeuralNMF", "DeepSemiNMF", "SparseCodingNetwork"])
@pytest.mark.parametrize("kind", [int, float, str], ids=str)
def test_a_masked_label_is_unknown(name, kind):
    """C: as -1 in its place, in fit and in score."""
    classes = np.arange(len(X)) % 2
    hidden = np.arange(len(X)) % 3 == 2
    y = np.where(hidden, -1, classes)
    y = y.astype(kind)
    masked = np.ma.masked_array(np.where(hidden, 7, classes).astype(kind), hidden)
    one, other = doors.fit(name, X, masked), doors.fit(name, X, y)
    assert one.score(X) == other.score(X) if not hasattr(one, "classes_") else True
    if hasattr(one, "classes_"):
        assert list(one.classes_) == list(other.classes_)
        assert one.score(X, masked) == one.score(X, y) == other.score(X, y)
    assert np.array_equal(one.transform(X), other.transform(X))


def test_a_masked_matrix_of_labels_is_known_where_it_shows():
    """C: the same as L; label_agreement leaves masked labels out."""
    Y = np.eye(2)[np.arange(len(X)) % 2]
    hidden = np.zeros(Y.shape, bool)
    hidden[::3] = True
    masked = np.ma.masked_array(np.where(hidden, 9.0, Y), hidden)
    one, other = doors.fit("SSNMF", X, masked), doors.fit("SSNMF", X, Y, L=~hidden)
    assert np.array_equal(one.components_, other.components_)
    S, y = one.transform(X), np.arange(len(X)) % 2
    agreement = metrics.label_agreement(S, np.ma.masked_array(y, y == 0))
    assert agreement.n_labeled == (y == 1).sum()


@pytest.mark.parametrize("name", ["weights", "mask", "W", "H", "fixed", "seeds", "S", "A"])
def test_masked_arguments_in_which_every_number_counts_are_refused(name):
    """C: hidden weights, factors and components are an error that names them."""
    W, H = np.ones((len(X), 2)), np.ones((2, X.shape[1]))

    def hide(F):
        return np.ma.masked_array(F, np.eye(*F.shape) > 0)

    doors_of = {
        "weights": lambda: NMF(2).fit(X, weights=hide(np.ones(X.shape))),
        "mask": lambda: NMF(2).fit(X, mask=hide(np.ones(X.shape, bool))),
        "W": lambda: NMF(2, init="custom").fit(X, W=hide(W), H=H),
        "H": lambda: NMF(2, init="custom").fit(X, W=W, H=hide(H)),
        "fixed": lambda: NMF(2, fixed=hide(H)).fit(X),
        "seeds": lambda: GuidedNMF(2, seeds=pd.DataFrame(hide(H).filled(np.nan))).fit(X),
        "S": lambda: NMF(2, random_state=0).fit(X).inverse_transform(hide(W)),
        "A": lambda: nnls(hide(H.T), X.T),
    }
    with pytest.raises((TypeError, ValueError), match=f"{name} (is a masked array|contains NaN)"):
        doors.quietly(doors_of[name])


def test_a_checkpoint_of_other_hidden_entries_is_another_fit(tmp_path):
    """C: what is hidden, and the names by which arguments are aligned, belong to the data of a
    checkpoint.
    """
    from nnmf_nb.persistence._checkpoints import hashed

    assert hashed(MASKED) != hashed(np.ma.masked_array(BAD, ~HIDDEN))
    assert hashed(MASKED) == hashed(np.ma.masked_array(np.where(HIDDEN, 3.0, X), HIDDEN))
    assert hashed(FRAME) != hashed(FRAME.rename(columns={"g0": "g1", "g1": "g0"}))


# --- W: masks -------------------------------------------------------------------------------------

NO_MASKS = {
    "NaN": (np.where(HIDDEN, np.nan, 1.0), "True .known. and False, or 1 and 0; mask.*nan"),
    "text": (np.where(HIDDEN, "False", "True"), "mask must hold True"),
    "weights": (np.full(X.shape, 0.5), r"mask\[0, 0\] is .*0.5.* \(144 such entries\)"),
    "None": (np.where(HIDDEN, None, True), "mask must hold True"),
    "nothing": (np.zeros(X.shape, bool), "hide every entry of X"),
    "matrix": (np.asmatrix(~HIDDEN), "mask is an np.matrix"),
    "sparse": (sp.csr_array(~HIDDEN), "mask is sparse"),
    "other shape": (~HIDDEN.T, r"shape of X, \(18, 8\), got \(8, 18\)"),
    "other word": ("NaN", "or 'nan'"),
}


@pytest.mark.parametrize("kind", NO_MASKS)
def test_what_is_no_mask_is_refused_with_words(kind):
    """W: bool or 0/1 only; a mask that hides everything is an error, not score 1.0."""
    mask, words = NO_MASKS[kind]
    model = doors.fit("NMF", X)
    for call in (
        lambda: NMF(2).fit(X, mask=mask),
        lambda: model.transform(X, mask=mask),
        lambda: model.score(X, mask=mask),
        lambda: verify(model, X, mask=mask),
        lambda: metrics.errors_per_depth(model, X, mask=mask),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            call()
    if kind not in ("other shape", "other word"):
        for call in (
            lambda: nnls(doors.A, X.T, mask=mask.T),
            lambda: certify(doors.A, doors.S, X.T, mask=mask.T),
        ):
            with pytest.raises((TypeError, ValueError), match=words.replace(r"\[0, 0\]", ".*")):
                call()


def test_zeros_and_ones_of_any_type_are_a_mask():
    """W: 0/1 as int, float, object or nullable boolean mean what booleans mean."""
    expected = NMF(2, random_state=0).fit(BAD, mask=~HIDDEN).reconstruction_err_
    for mask in (
        (~HIDDEN).astype(int),
        (~HIDDEN).astype(float),
        (~HIDDEN).astype(object),
        (~HIDDEN).tolist(),
        pd.DataFrame(~HIDDEN).convert_dtypes(),
    ):
        assert NMF(2, random_state=0).fit(BAD, mask=mask).reconstruction_err_ == expected


# --- D: names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", doors.MODELS)
def test_columns_in_another_order_are_refused_at_every_door(name):
    """D: transform, predict, score, verify, inspect, metrics and plots raise scikit-learn's error,
    for names that are numbers too.
    """
    numbered = FRAME.set_axis(range(400, 400 + X.shape[1]), axis=1)
    for data in (FRAME, numbered):
        model, other = doors.fit(name, data), data[data.columns[::-1]]
        calls = {d: c for d, c in doors.METHODS.items() if hasattr(model, d)}
        layered = name in doors.LAYERED
        calls |= doors.WITH_MODEL if layered else {"verify": doors.WITH_MODEL["verify"]}
        calls.pop("compare", None)  # which matches the features of two models by their names
        for door, call in calls.items():
            with pytest.raises(ValueError, match="feature names should match"):
                call(model, other)
                pytest.fail(door)


def test_other_data_frames_are_read_by_name():
    """D: mask, weights, fixed, seeds, W and H in an order of their own."""
    back, upside = FRAME.columns[::-1], FRAME.index[::-1]
    known, bad = FRAME.mask(HIDDEN).notna(), FRAME.mask(HIDDEN, 1e6)
    weights = FRAME + 1.0
    K = FRAME.iloc[:2].reset_index(drop=True)
    W = pd.DataFrame(np.random.default_rng(0).random((len(X), 2)), index=FRAME.index)
    H = pd.DataFrame(np.random.default_rng(1).random((2, X.shape[1])), columns=FRAME.columns)
    seeds = pd.DataFrame([[1, 1]], index=["guide"], columns=["g3", "g1"])

    def components(model, data=FRAME, **extra):
        return doors.quietly(model.fit, data, **extra).components_

    nmf, custom = NMF(2, random_state=0), NMF(2, init="custom")
    guided = [GuidedNMF(3, seeds=s, random_state=0) for s in (seeds, {"guide": ["g1", "g3"]})]
    for one, other in (
        (components(nmf, bad, mask=known.loc[upside, back]), components(nmf, bad, mask=known)),
        (components(nmf, weights=weights.loc[upside, back]), components(nmf, weights=weights)),
        (components(NMF(2, fixed=K[back])), components(NMF(2, fixed=K))),
        (components(custom, W=W.loc[upside], H=H[back]), components(custom, W=W, H=H)),
        [components(model) for model in guided],
    ):
        assert np.array_equal(one, other)
    model = doors.fit("NMF", FRAME)
    mask = known.loc[upside, back]
    assert model.score(bad, mask=mask) == model.score(bad, mask=known)
    assert metrics.errors_per_depth(model, bad, mask=mask) == metrics.errors_per_depth(
        model, bad, mask=known
    )
    S = model.transform(FRAME)
    named = pd.DataFrame(S, columns=model.get_feature_names_out())
    assert np.allclose(
        model.inverse_transform(named[named.columns[::-1]]), model.inverse_transform(S)
    )
    score = hidden_score(FRAME, known)(model)
    assert score == pytest.approx(hidden_score(FRAME, known.loc[upside, back])(model))


@pytest.mark.parametrize(
    "extra, words",
    [
        (dict(mask=(FRAME > 0).rename(columns={"g2": "h2"})), "mask has no column 'g2'"),
        (dict(weights=(FRAME + 1).rename(index={"cell 1": "c"})), "weights has no row 'cell 1'"),
        (dict(mask=(FRAME > 0).assign(new=True)), "mask has a column 'new', which X has not"),
    ],
)
def test_names_that_X_has_not_are_an_error(extra, words):
    """D: the first of them is named."""
    with pytest.raises(ValueError, match=words):
        NMF(2).fit(FRAME, **extra)


def test_labels_of_other_data_points_are_an_error():
    """D: y as a Series with another index than X names the first, in fit and in score."""
    y = pd.Series((X[:, 0] > np.median(X[:, 0])).astype(int), index=FRAME.index)
    turned = y.iloc[::-1]
    words = r"has another index than X.*position 0, is 'cell 17' in \w+ and 'cell 0' in X"
    model = SSNMF(2, random_state=0).fit(FRAME, y)
    for call in (
        lambda: SSNMF(2).fit(FRAME, turned),
        lambda: NeuralNMF((3, 2)).fit(FRAME, {0: turned}),
        lambda: SparseCodingNetwork((3, 2)).fit(FRAME, turned),
        lambda: DeepSemiNMF((3, 2)).fit(FRAME, turned),
        lambda: SSNMF(2).fit(FRAME, pd.get_dummies(turned)),
        lambda: model.score(FRAME, turned),
        lambda: inspect(model, FRAME, samples=turned),
        lambda: plot.shares_over(model, 0, turned, X=FRAME),
    ):
        with pytest.raises(ValueError, match=words):
            doors.quietly(call)
    assert model.score(FRAME, y) == model.score(FRAME, y.to_numpy())


def test_names_of_data_points_and_numbers_as_names_are_shown():
    """D: the index of X in the inspector; numbers and levels as names of columns everywhere."""
    view = inspect(doors.fit("NMF", FRAME), FRAME)
    assert {point["name"] for point in view.payload["points"].values()} <= {*FRAME.index}
    numbered = FRAME.set_axis(range(400, 400 + X.shape[1]), axis=1)
    levels = FRAME.set_axis(pd.MultiIndex.from_product([["a", "b"], range(4)]), axis=1)
    for data, names in ((numbered, "40."), (levels, "[ab] / .")):
        model = doors.fit("NMF", data)
        listed = model.topics().iloc[0, 1:]
        assert listed[listed != ""].str.fullmatch(names).all()
        assert pd.Series(inspect(model).payload["features"]).str.fullmatch(names).all()
    seeded = GuidedNMF(3, seeds=[[401]], random_state=0)
    other = GuidedNMF(3, seeds=[[1]], random_state=0)
    assert np.allclose(seeded.fit(numbered).components_, other.fit(X).components_)
    given = GuidedNMF(3, seeds=[[401]], features=range(400, 400 + X.shape[1]), random_state=0)
    assert np.array_equal(given.fit(X).components_, other.components_)
    with pytest.raises(ValueError, match="1 of group 0 is no feature"):
        given.set_params(seeds=[[1]]).fit(X)
    table = pd.DataFrame({"title": FRAME.index, "text": "long"}, index=FRAME.index)
    first = next(iter(inspect(model, levels, samples=table).payload["points"].values()))
    assert first["name"].startswith("cell") and first["text"] == "long"


def test_numbers_in_order_are_no_names():
    """D: pandas' default columns and index pass for positions, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = NMF(2, random_state=0).fit(pd.DataFrame(X))
        frame = pd.DataFrame(X)
        assert np.array_equal(model.transform(frame), model.transform(frame.to_numpy()))
        assert not hasattr(model, "feature_names_in_")
        verify(model, X, mask=pd.DataFrame(np.ones(X.shape, bool), index=FRAME.index))


def test_topics_of_two_models_are_matched_by_the_names_of_their_features():
    """D: match_topics and stability of fits with columns in two orders."""
    one, other = doors.fit("NMF", FRAME), doors.fit("NMF", REVERSED)
    plain = metrics.match_topics(one.components_.T, other.components_.T[::-1])
    assert np.array_equal(metrics.match_topics(one, other).permutation, plain.permutation)
    assert metrics.stability([one, other]) == pytest.approx(plain.mean)


# --- O: messages ----------------------------------------------------------------------------------


def spectra_with_zero():
    return NMF(2, beta_loss="itakura-saito").fit([[1, 2, 0], [3, 1, 1], [1, 1, 1], [2, 2, 1]])


MESSAGES = {
    "zeros under Itakura-Saito": (spectra_with_zero, "the first at data point 0, feature 2"),
    "sparse zeros": (
        lambda: NMF(2, beta_loss="itakura-saito").fit(sp.csr_array(X)),
        r"Choose beta_loss > 0, or add",
    ),
    "weights of half the points": (
        lambda: NMF(2).fit(X, weights=np.ones(9)),
        r"one number per data point, 18, or the shape of X, \(18, 8\); got 9 numbers",
    ),
    "weights on their side": (
        lambda: NMF(2).fit(X, weights=np.ones((8, 18))),
        r"shape of X, \(18, 8\), got \(8, 18\)",
    ),
    "sparse weights": (lambda: NMF(2).fit(X, weights=sp.csr_array(X)), "weights is sparse"),
    "NaN that a mask shows": (
        lambda: NMF(2).fit(np.where(np.arange(8) == 6, np.nan, X), mask=np.ones(X.shape, bool)),
        r"18 entries, the first at \[0, 6\]",
    ),
    "top=-1": (lambda: doors.fit("NMF", X).topics(top=-1), "top must be an integer >= 1, got -1"),
    "top=2.5": (lambda: doors.fit("NMF", X).tree(top=2.5), "top must be an integer >= 1"),
    "top of a plot": (
        lambda: plot.plot_topics(doors.fit("NMF", X), top=0),
        "top must be an integer >= 1, got 0",
    ),
    "ranks=None": (lambda: NeuralNMF(None).fit(X), "ranks must be integers >= 1.*got None"),
    "ranks=10.": (lambda: NeuralNMF(10.0).fit(X), r"ranks must be integers >= 1.*got 10\.0"),
    "ranks of a network": (
        lambda: SparseCodingNetwork(10.0).fit(X),
        r"ranks must be integers >= 1.*got 10\.0",
    ),
    "ranks of floors": (lambda: metrics.floors(X, None), "ranks must be integers >= 1"),
    "alpha_W=inf": (lambda: NMF(2, alpha_W=np.inf).fit(X), "alpha_W must be a finite number >= 0"),
    "alpha_H=inf": (lambda: NMF(2, alpha_H=np.inf).fit(X), "alpha_H must be a finite number >= 0"),
    "raw texts": (lambda: NMF(2).fit(["a b", "c"]), r"first at \[0\]: 'a b'.*TfidfVectorizer"),
    "texts of pandas": (lambda: NMF(2).fit(pd.Series(["a b", "c"])), "TfidfVectorizer"),
    "a column of text": (
        lambda: NeuralNMF((2, 1)).fit(pd.DataFrame({"n": [1, 2], "text": ["a", "b"]})),
        r"X holds text, the first at \[0, 1\]: 'a', in the column 'text'",
    ),
    "a column of dates": (
        lambda: NMF(1).fit(pd.DataFrame({"n": [1, 2], "when": pd.to_datetime(["2020", "2021"])})),
        "the column 'when' of X holds datetime64.*not numbers",
    ),
    "a step that knows no names": (
        lambda: inspect(make_pipeline(FunctionTransformer(), doors.fit("NMF", X)), X, ["a"]),
        "features must be",
    ),
    "pictures": (lambda: DeepSemiNMF(2).fit(np.ones((4, 5, 6))), r"X.reshape\(len\(X\), -1\)"),
    "texts for nnls": (lambda: nnls(doors.A, ["a b", "c"]), "dtype.*give real numbers"),
    "pictures for nnls": (lambda: nnls(doors.A, np.ones((8, 5, 6))), r"Join its axes: X.reshape"),
    "on its side": (lambda: doors.fit("NMF", X).transform(X.T), r"give X\.T"),
    "on its side, inspected": (lambda: inspect(doors.fit("NMF", X), X.T), r"give X\.T"),
    "NaN without a mask to hide it": (
        lambda: doors.fit("UnfoldedNMF", np.where(HIDDEN, np.nan, X)),
        "there is no mask for this model",
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_messages_lead_to_the_cure(case):
    """O: in the orientation of the user, naming the argument and what to do."""
    call, words = MESSAGES[case]
    with pytest.raises((TypeError, ValueError), match=words):
        call()


@pytest.mark.parametrize("name", doors.WEIGHTED)
def test_one_weight_per_data_point(name):
    """O: weights of shape (n_samples,) weigh data points; a Series is read by name."""
    w = np.arange(1.0, len(X) + 1)
    whole = doors.fit(name, X, weights=np.repeat(w[:, None], X.shape[1], axis=1))
    model = doors.fit(name, X, weights=w)
    assert np.array_equal(model.components_, whole.components_)
    series = pd.Series(w, index=FRAME.index).iloc[::-1]
    one, other = (doors.fit(name, FRAME, weights=v).components_ for v in (series, w))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("name", doors.MASKED)
def test_nan_as_an_option_is_remembered(name):
    """O: mask='nan' in fit is known to transform, score, verify and certificate_ afterward."""
    gaps = np.where(HIDDEN, np.nan, X)
    model, other = doors.fit(name, gaps, mask="nan"), doors.fit(name, gaps, mask=~HIDDEN)
    assert zoo.same(model, other)
    assert_same(
        {d: v for d, v in open_doors(model, gaps).items() if d in doors.METHODS},
        {d: v for d, v in open_doors(other, gaps, mask=~HIDDEN).items() if d in doors.METHODS},
    )
    assert repr(verify(model, gaps)) == repr(model.certificate_)
    assert repr(model.certificate_) == repr(verify(other, gaps, mask=~HIDDEN))
    doors.quietly(model.fit, X, doors.labels() if doors.MODELS[name][2] else None)
    with pytest.raises(ValueError, match="X contains NaN"):
        model.transform(gaps)


def test_more_topics_than_features_draw_a_warning():
    """O: nothing is wrong with the fit, but the features explain all."""
    for model in (NMF(9), NeuralNMF((9, 2)), SSNMF(9)):
        with pytest.warns(UserWarning, match="9 topics are more than the 8 features"):
            model.set_params(tol=1e9).fit(X)


# --- M: fitted things -----------------------------------------------------------------------------


def test_what_is_fitted_is_not_called_unfitted():
    """M: components_ serve where only components are needed, a pipeline is opened, a matrix that
    lies on its side gets the hint.
    """
    model, other = doors.fit("NMF", X), doors.quietly(OtherNMF(3, random_state=0).fit, X)
    assert metrics.match_topics(model, other).mean > 0.5
    assert len(metrics.topic_coherence(other, X)) == 3 and metrics.diversity(other) > 0
    assert verify(other, X).layers[0].error > 0
    with pytest.raises(ValueError, match=r"same features.*give the \.T"):
        metrics.match_topics(model, other.components_)
    with pytest.raises(TypeError, match="is fitted, but has no layers_"):
        metrics.errors_per_depth(other, X)
    with pytest.raises(NotFittedError):
        metrics.match_topics(model, OtherNMF(3))
    with pytest.raises(TypeError, match="any sign"):
        metrics.errors_per_depth(doors.fit("DeepSemiNMF", X), X)
    for name in zoo.TENSORS:
        model = doors.fit(name, X)
        for door, call in doors.WITH_MODEL.items():
            if door not in ("verify", "inspect"):
                with pytest.raises(TypeError, match="is a model of tensors.*plot_components"):
                    call(model, X)
                    pytest.fail(door)


def test_pipelines_are_opened():
    """M: inspect, verify, metrics, plots of a fitted pipeline, whose vectorizer gives the names."""
    steps = make_pipeline(MaxAbsScaler(), NMF(3, random_state=0)).fit(X)
    scaled, last = MaxAbsScaler().fit_transform(X), steps[-1]
    for door, call in doors.WITH_MODEL.items():
        found, expected = call(steps, X), call(last, scaled)
        np.testing.assert_allclose(doors.numbers(found), doors.numbers(expected), err_msg=door)
    texts = ["red apple pie", "green apple", "green tree", "tall green tree", "apple tree"]
    words = make_pipeline(CountVectorizer(), NMF(2, random_state=0)).fit(texts)
    view = inspect(words, texts)
    assert {"apple", "green"} <= {*view.payload["features"]} and view.model is words[-1]
    assert "apple" in names_of(words, None)
    assert metrics.match_topics(words, words[-1]).mean == pytest.approx(1.0)


def test_the_reader_leaves_its_input_alone():
    """I: nothing that is read is changed, names included."""
    numbered = FRAME.set_axis(range(400, 400 + X.shape[1]), axis=1)
    data = [MASKED.copy(), numbered.copy(), doors.with_duplicates(X)]
    for one in data:
        before = one.copy()
        read_samples(one)
        if sp.issparse(one):
            assert np.array_equal(one.data, before.data) and one.nnz == before.nnz
        elif isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, before)
        else:
            assert np.array_equal(one.data, before.data) and (one.mask == before.mask).all()
