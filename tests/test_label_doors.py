"""Labels are understood in every door: the same classes in whatever form they come, in `fit`,
`score`, `predict` and the metrics, of every model that learns from them.

TAKE and DOORS are checked against the package: a model or a door with labels that is not in them
fails here.
"""

import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
import zoo
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import check_estimator

import nnmf_nb
from nnmf_nb import NMF, SSNMF, GuidedNMF, HierarchicalNMF, NeuralNMF, as_classifier
from nnmf_nb.chain._labels import (
    class_numbers,
    labeled_folds,
    labels_per_layer,
    read_labels,
)
from nnmf_nb.evaluation import metrics

QUICK = dict(random_state=0, max_iter=15)
# models that learn from labels, with as many topics as classes at their last layer
TAKE = {
    "SSNMF": dict(n_components=3),
    "MiniBatchSSNMF": dict(n_components=3),
    "NeuralNMF": dict(ranks=(4, 3)),
    "HierarchicalNMF": dict(ranks=(4, 3)),
    "DeepNMF": dict(ranks=(4, 3)),
    "DeepSemiNMF": dict(ranks=(4, 3), pretrain_iter=2),
    "SparseCodingNetwork": dict(ranks=(4, 3), pretrain_iter=5),
    "NeuralNCPD": dict(ranks=(4, 3), n_init=1, n_init_upper=1),
}
ONE_LAYER = ("SSNMF", "MiniBatchSSNMF")
PREDICT = [name for name in TAKE if name != "DeepSemiNMF"]
WITH_L = [name for name in PREDICT if name != "SparseCodingNetwork"]
NAMES = np.array(["ant", "bee", "cat"])
NUMBER = np.repeat([0, 1, 2], 8)
Y = NAMES[NUMBER]
KNOWN = np.arange(24) % 4 != 3
rng = np.random.default_rng(0)
X = 0.1 * rng.random((24, 12)) + np.repeat(np.eye(3), 8, axis=0) @ np.kron(np.eye(3), np.ones(4))
MINUS_ONE = np.where(KNOWN, Y, "-1")
EACH = np.repeat(KNOWN[:, None], 3, axis=1)


def model(name, **change):
    return getattr(nnmf_nb, name)(**TAKE[name], **{**QUICK, **change})


def quiet(function, *args, **given):
    """What a function returns, without warnings about convergence; all others are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        return function(*args, **given)


def warned(function, *args, **given):
    """The messages of all warnings of a call but those about convergence."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args, **given)
    return [str(one.message) for one in caught if one.category is not ConvergenceWarning]


def bits(fitted):
    """What a fit ended at: its topics."""
    if hasattr(fitted, "factors_"):
        return np.concatenate(fitted.factors_)
    return np.asarray(fitted.components_)


def categorical():
    return pd.Series(pd.Categorical(np.where(KNOWN, Y, None)))


# the same knowledge in other words: class names, every fourth unknown
FORMS = {
    "None": np.where(KNOWN, Y.astype(object), None),
    "NaN": np.where(KNOWN, Y.astype(object), np.nan),
    "pd.NA": np.where(KNOWN, Y.astype(object), pd.NA),
    "list with NaN": [one if known else float("nan") for one, known in zip(Y.tolist(), KNOWN)],
    "-1 among words": np.where(KNOWN, Y.astype(object), -1),
    "Categorical": categorical(),
    "string Series": pd.Series(np.where(KNOWN, Y, None), dtype="string"),
    "masked array": np.ma.masked_array(Y, ~KNOWN),
    "one column": pd.DataFrame({"kind": np.where(KNOWN, Y, None)}),
    "one-hot DataFrame": pd.get_dummies(categorical()).astype(float).where(EACH),
    "one-hot, Int64": pd.get_dummies(categorical()).astype("Int64").where(EACH),
}


def test_the_registry_is_whole():
    """K: every model that reads labels is tested here, and every function that does."""
    readers = set()
    for name in {*nnmf_nb.__all__} - {*zoo.SEARCHES}:
        one = getattr(nnmf_nb, name)
        if not (isinstance(one, type) and issubclass(one, BaseEstimator)):
            continue
        try:
            warned(one(max_iter=1).fit, X, Y[:5])
        except ValueError as error:
            assert "one label per data point, 24, got 5" in str(error)
            readers.add(name)
    assert readers == set(TAKE)
    doors = {
        name
        for name, one in inspect.getmembers(metrics, inspect.isfunction)
        if {"labels", "true_parent", "y"} & set(inspect.signature(one).parameters)
        and one.__module__ == metrics.__name__
    }
    assert doors == {"purity", "label_agreement", "hierarchy_agreement"}


@pytest.mark.parametrize("name", TAKE)
def test_every_form_is_the_same_fit(name):
    """K: None, NaN, pd.NA, a hole in a Categorical, a masked entry mean what -1 means, and a
    DataFrame names its classes.
    """
    plain = quiet(model(name).fit, X, MINUS_ONE)
    for form, y in FORMS.items():
        other = quiet(model(name).fit, X, y)
        assert (bits(other) == bits(plain)).all(), form
        if name in PREDICT:
            assert other.classes_.tolist() == NAMES.tolist(), form
            assert set(quiet(other.predict, X)) <= set(NAMES), form


@pytest.mark.parametrize("name", PREDICT)
def test_score_takes_what_fit_takes(name):
    """K: one-hot Y, its DataFrame, {layer: y} and every spelling of unknown give the accuracy of
    the plain vector.
    """
    fitted = quiet(model(name).fit, X, Y)
    wrong = np.where(np.arange(24) % 6 == 0, NAMES[(NUMBER + 1) % 3], Y)
    last = len(TAKE[name].get("ranks", [0])) - 1
    found = quiet(fitted.predict, X)
    expected = np.mean(found[KNOWN] == wrong[KNOWN])
    holes = np.where(KNOWN, wrong.astype(object), None)
    onehot = np.where(KNOWN[:, None], (wrong[:, None] == NAMES).astype(float), np.nan)
    forms = [
        np.where(KNOWN, wrong, "-1"),
        holes,
        pd.Series(pd.Categorical(holes)),
        onehot,
        pd.DataFrame(onehot[:, ::-1], columns=NAMES[::-1]),
        {last: holes},
        {-1: onehot},
    ]
    assert 0 < expected < 1
    for y in forms:
        assert quiet(fitted.score, X, y) == expected
    assert quiet(fitted.score, X, np.full(24, -1)) == 0
    if name in WITH_L:
        assert quiet(fitted.score, X, wrong, L=KNOWN) == expected
        assert quiet(fitted.score, X, {-1: wrong}, L={-1: KNOWN}) == expected


@pytest.mark.parametrize("name", WITH_L)
def test_class_numbers_with_L_are_classes(name):
    """R: L is the mask of what is known, and what stands under it is not read."""
    hidden = np.where(KNOWN, NUMBER, 7)
    plain = quiet(model(name).fit, X, np.where(KNOWN, NUMBER, -1))
    masked = quiet(model(name).fit, X, hidden, L=KNOWN)
    assert masked.classes_.tolist() == [0, 1, 2]
    assert (bits(masked) == bits(plain)).all()
    assert quiet(masked.score, X, NUMBER) == quiet(plain.score, X, NUMBER) > 0.5
    words = quiet(model(name).fit, X, np.where(KNOWN, Y, "dog"), L=KNOWN.astype(int))
    assert words.classes_.tolist() == NAMES.tolist()


@pytest.mark.parametrize("name", TAKE)
def test_a_layer_is_named_once(name):
    """R: {1: y, -1: y} names one layer twice."""
    last = len(TAKE[name].get("ranks", [0])) - 1
    with pytest.raises(ValueError, match=f"{last} and -1 are the same"):
        model(name).fit(X, {last: Y, -1: NUMBER})


def test_L_belongs_to_labels():
    """R: a mask of a layer without labels, with other values than true, of another shape."""
    for L, words in (
        ({0: KNOWN}, "L has layer 0"),
        ({1: KNOWN, -1: KNOWN}, "L names one layer twice"),
        (np.where(KNOWN, 1.0, np.nan), r"L\[3, 0\] = .*nan"),
        (KNOWN.astype(str), "L must hold True and False"),
        (KNOWN[:5], "one entry per data point"),
    ):
        with pytest.raises(ValueError, match=words):
            labels_per_layer({1: Y}, 2, 24, L)


@pytest.mark.parametrize(
    "y, classes",
    [
        (pd.Series(pd.array([3, None, 5, 3], dtype="Int64")), [3, 5]),
        (pd.Series(pd.array([True, None, False, True], dtype="boolean")), [False, True]),
        (pd.Categorical([3, None, 5, 3]), [3, 5]),
        ([3, None, 5, 3], [3, 5]),
        ([True, None, -1, False], [False, True]),
        (np.array([3.0, np.nan, 5.0, np.inf * 0]), [3.0, 5.0]),
        (np.array([np.int64(-1), "a", "b", None], dtype=object), ["a", "b"]),
        ([], []),
    ],
)
def test_kinds_of_classes_survive_what_is_missing(y, classes):
    """K: integers with a hole stay integers, and booleans with -1 stay booleans."""
    found, number = class_numbers(y, len(y))
    assert found.tolist() == classes
    assert [type(one) for one in found.tolist()] == [type(one) for one in classes]
    given = np.asarray(y, dtype=object)
    known = np.flatnonzero(number >= 0)
    assert given[known].tolist() == [classes[n] for n in number[known]]
    assert all(pd.isna(one) or one == -1 for one in np.delete(given, known))


def test_what_is_no_set_of_classes_is_named():
    """K: words among numbers, a class in two columns, words in a matrix, a wrong width."""
    with pytest.raises(ValueError, match="'a' and 1"):
        class_numbers(np.array(["a", 1, "b"], dtype=object), 3)
    twice = pd.DataFrame(np.eye(3), columns=["ant", "bee", "ant"])
    with pytest.raises(ValueError, match="'ant' in more than one column"):
        read_labels(twice, 3)
    with pytest.raises(ValueError, match="must hold numbers"):
        read_labels(np.array([["a", "b"], ["c", "d"]]), 2)
    with pytest.raises(ValueError, match="2 columns, one per class; there are 3"):
        quiet(model("SSNMF").fit, X, Y).score(X, np.ones((24, 2)))


def test_matrices_know_the_unknown():
    """K: NaN, pd.NA and -1 are unknown entries of a matrix, -2 is an error."""
    Y = pd.DataFrame({"ant": [1, pd.NA, 0], "bee": [0, 1, -1]}, dtype=object)
    read = read_labels(Y, 3)
    assert read.classes.tolist() == ["ant", "bee"]
    assert read.L.tolist() == [[1, 0, 1], [1, 1, 0]] and read.Y.tolist() == [[1, 0, 0], [0, 1, 0]]
    with pytest.raises(ValueError, match=r"Y\[0, 1\] = -2"):
        read_labels(np.array([[1, -2.0], [0, 1]]), 2)


def test_metrics_know_the_unknown():
    """K: the metrics leave out what is missing, in every spelling."""
    S = np.eye(3)[NUMBER]
    for y in (MINUS_ONE, *[y for form, y in FORMS.items() if np.ndim(y) == 1]):
        assert metrics.label_agreement(S, y) == pytest.approx((1, 1, KNOWN.sum()))
        assert metrics.purity(np.zeros(24), y) == pytest.approx(1 / 3, abs=0.05)
    flow = np.array([[8.0, 2], [3, 0], [0, 5]])
    for parent in (["b", None, "a"], pd.Series(["b", pd.NA, "a"]), np.array(["b", "-1", "a"])):
        found = metrics.hierarchy_agreement(flow, parent)
        assert found.plays == {"a": 1, "b": 0} and np.isnan(found.mass[1])
    for unknown in ([None, None], [-1, -1], [np.nan, pd.NA]):
        with pytest.raises(ValueError, match="unknown"):
            metrics.purity([0, 1], unknown)
        with pytest.raises(ValueError, match="unknown"):
            metrics.label_agreement(np.eye(2), unknown)


@pytest.mark.parametrize("name", PREDICT)
def test_without_a_known_label_predict_says_why(name):
    """K: hasattr is False and the error tells what is missing."""
    for y in (None, np.full(24, -1), np.full(24, None), {-1: [np.nan] * 24}):
        fitted = quiet(model(name).fit, X, y)
        for method in ("predict", "predict_proba", "decision_function"):
            assert not hasattr(fitted, method) and hasattr(clone(fitted), method)
            with pytest.raises(AttributeError, match=f"{method}: it was fitted without a known"):
                getattr(fitted, method)


def test_a_cost_of_ones_own_says_why_it_predicts_nothing():
    """K: y is the business of that cost."""

    def small_coefficients(X, A, S, Y):
        assert Y.tolist() == MINUS_ONE.tolist()
        value = float((S[-1] ** 2).sum())
        return value, [0 * a for a in A], [0 * S[0], 2 * S[-1]]

    fitted = NeuralNMF((4, 3), cost=small_coefficients, random_state=0, max_iter=0)
    quiet(fitted.fit, X, MINUS_ONE)
    with pytest.raises(AttributeError, match="a cost of your own"):
        fitted.predict(X)


@pytest.mark.parametrize("name", TAKE)
def test_words_for_missing_are_classes_and_warn(name):
    """K: a table may have lost that a label is missing; -1 beside 1 alone is a trap as well."""
    fit = model(name, max_iter=1).fit
    y = np.where(NUMBER == 0, "unknown", Y)
    assert [m for m in warned(fit, X, y) if "a class named 'unknown', a class like any" in m]
    assert any("-1 means unknown" in m for m in warned(fit, X, np.where(NUMBER == 0, 1, -1)))
    for word in ("", "nan", "NaN", " None ", "<NA>"):
        assert f"named {word!r}" in warned(labels_per_layer, [word, "ant"], 1, 2)[0]
    assert not warned(labels_per_layer, ["none of these", "ant"], 1, 2)


@pytest.mark.parametrize("loss", ["frobenius", "cross_entropy"])
@pytest.mark.parametrize("name", PREDICT)
def test_two_classes_have_one_decision(name, loss):
    """K: one number per data point, above 0 exactly where classes_[1] is predicted, in the order of
    its probability.
    """
    change = dict(label_loss=loss) if name == "NeuralNMF" else {}
    two = np.where(NUMBER == 0, "yes", "no")
    fitted = quiet(model(name, **change).fit, X, two)
    noisy = X + rng.random(X.shape)
    scores = quiet(fitted.decision_function, noisy)
    second = quiet(fitted.predict_proba, noisy)[:, 1]
    assert scores.shape == (24,)
    assert (quiet(fitted.predict, noisy) == fitted.classes_[(scores > 0).astype(int)]).all()
    assert (np.argsort(scores, kind="stable") == np.argsort(second, kind="stable")).all()
    three = quiet(model(name, **change).fit, X, Y)
    assert quiet(three.decision_function, X).shape == (24, 3)


# --- a classifier of scikit-learn -----------------------------------------------------------------


@pytest.mark.parametrize("name", PREDICT)
def test_as_classifier(name):
    """K: stratified folds, roc_auc, probabilities, clones and parameters of every model that
    predicts.
    """
    classifier = as_classifier(model(name))
    assert is_classifier(classifier)
    assert (quiet(cross_val_score, classifier, X, Y, cv=4, error_score="raise") > 0.9).all()
    two = np.where(NUMBER == 0, "yes", "no")
    given = dict(cv=4, scoring="roc_auc", error_score="raise")
    assert (quiet(cross_val_score, classifier, X, two, **given) > 0.9).all()
    assert clone(classifier).set_params(estimator__tol=0.5).estimator.tol == 0.5
    assert classifier.estimator.tol == model(name).tol
    fitted = quiet(classifier.fit, X, MINUS_ONE)
    assert fitted.predict_proba(X).shape == (24, 3) and not hasattr(
        classifier.estimator, "classes_"
    )
    assert fitted.score(X, MINUS_ONE) == np.mean(fitted.predict(X)[KNOWN] == Y[KNOWN]) > 0.9
    for unknown in (np.full(24, -1), [None] * 24):
        with pytest.raises(ValueError, match="no known class"):
            quiet(classifier.fit, X, unknown)


def test_as_classifier_of_pipelines_and_of_what_is_none():
    """K: a pipeline with a model at its end, its parameters in a search; models without classes."""
    pipe = as_classifier(make_pipeline(MaxAbsScaler(), model("SSNMF")))
    search = GridSearchCV(
        pipe, {"estimator__ssnmf__lam": [0.5, 1.0]}, cv=labeled_folds(MINUS_ONE, 3)
    )
    assert quiet(search.fit, X, MINUS_ONE).best_score_ > 0.9
    for other in (NMF(), nnmf_nb.DeepSemiNMF(), "SSNMF"):
        with pytest.raises(TypeError, match="predicts classes"):
            as_classifier(other)


def test_folds_of_labeled_points():
    """K: unlabeled points are in every training part and in no test part; scores by name then see
    known classes only.
    """
    two = np.where(NUMBER == 0, "yes", "no").astype(object)
    two[~KNOWN] = -1
    folds = labeled_folds(two, 3, random_state=0)
    assert sorted(np.concatenate([test for _, test in folds])) == np.flatnonzero(KNOWN).tolist()
    assert all(set(np.flatnonzero(~KNOWN)) <= set(train) for train, _ in folds)
    words = np.where(KNOWN, two, "-1").astype(str)
    for scoring in ("accuracy", "roc_auc"):
        given = dict(cv=labeled_folds(words, 3), scoring=scoring, error_score="raise")
        assert quiet(cross_val_score, as_classifier(model("SSNMF")), X, words, **given).min() > 0.9
    with pytest.raises(ValueError, match="smallest class has 6"):
        labeled_folds(two, 7)


def test_as_classifier_meets_the_contract_of_classifiers():
    """K: all of check_estimator but what contradicts -1 for unknown, or feeds negative data."""
    expected = {
        "check_classifiers_classes": "-1 and 1 as classes; -1 is unknown here",
        "check_decision_proba_consistency": "negative data",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(
            as_classifier(SSNMF(random_state=0, max_iter=20, tol=1e-2)),
            expected_failed_checks=expected,
            on_skip=None,
        )
    failed = {one["check_name"] for one in results if one["status"] == "xfail"}
    assert failed == set(expected)


# --- fewer topics than classes, starts that are not used ------------------------------------------


@pytest.mark.parametrize("name", TAKE)
def test_fewer_topics_than_classes_are_told(name):
    """AA: two topics cannot tell three classes apart."""
    few = dict(n_components=2) if name in ONE_LAYER else dict(ranks=(4, 2))
    (message,) = warned(model(name).set_params(**few).fit, X, Y)
    assert "has 2 topics for 3 classes" in message
    last = 0 if name in ONE_LAYER else 1
    quiet(model(name).fit, X, {last: Y})


def test_a_start_that_is_not_used_is_told():
    """AA: W or H without init='custom' warn as in scikit-learn, and change nothing."""
    W, H = np.ones((24, 3)), np.ones((3, 12))
    plain = quiet(NMF(3, **QUICK).fit, X)
    for given in (dict(W=W, H=H), dict(W=W), dict(H=H)):
        with pytest.warns(RuntimeWarning, match="ignored.*init='custom'"):
            other = NMF(3, **QUICK).fit(X, **given)
        assert (other.components_ == plain.components_).all()


# --- names of the columns of every layer ----------------------------------------------------------

LAYERED = ["NeuralNMF", "HierarchicalNMF", "DeepNMF", "DeepSemiNMF", "NonlinearSemiNMF"]
LAYERED += ["SparseCodingNetwork"]


@pytest.mark.parametrize("name", LAYERED)
def test_set_output_of_every_layer(name):
    """J: a DataFrame with the names of the layer, and the same predictions as without."""
    given = TAKE.get(name, dict(ranks=(4, 3), pretrain_iter=2))
    y = {-1: Y} if name == "SparseCodingNetwork" else {0: Y}
    frame = pd.DataFrame(X, index=[f"p{i}" for i in range(24)])
    frame.columns = [f"f{i}" for i in range(12)]
    plain = quiet(getattr(nnmf_nb, name)(**given, **QUICK).fit, frame, y)
    framed = quiet(clone(plain).set_output(transform="pandas").fit, frame, y)
    for layer, width in ((0, 4), (1, 3), (-1, 3)):
        table = framed.transform(frame, layer=layer)
        names = framed.get_feature_names_out(layer=layer).tolist()
        assert table.columns.tolist() == names and len(set(names)) == width
        assert table.index.tolist() == frame.index.tolist()
        assert (table.to_numpy() == plain.transform(frame, layer=layer)).all()
    both = pd.concat([framed.transform(frame, layer=l) for l in (0, 1)], axis=1)
    assert both.columns.is_unique
    assert quiet(framed.fit_transform, frame, y).columns.tolist() == names
    assert framed.get_feature_names_out().tolist() == [f"{name.lower()}{i}" for i in range(3)]
    with pytest.raises(ValueError, match="layer must be"):
        framed.get_feature_names_out(layer=2)
    if name in PREDICT:
        layer = max(framed.classifiers_)
        assert (quiet(framed.predict, frame, layer=layer) == quiet(plain.predict, frame)).all()
        assert (framed.predict_proba(frame) == plain.predict_proba(frame)).all()
        assert quiet(framed.score, frame, Y) == quiet(plain.score, frame, Y)


# --- dead topics and empty data points ------------------------------------------------------------

BLOCKS = np.kron(np.eye(3), np.ones((4, 5)))


@pytest.mark.parametrize("name", ["HierarchicalNMF", "NeuralNMF", "DeepNMF"])
def test_dead_topics_of_a_hierarchy_are_called_dead(name):
    """H: a topic that explains nothing has no words, in the tree and in the table."""
    ranks = (3, 2)
    fitted = quiet(getattr(nnmf_nb, name)(ranks, **QUICK).fit, np.zeros((6, 4)))
    assert fitted.tree().count("(dead)") == sum(ranks) and "x0" not in fitted.tree()
    for layer in (0, 1):
        table = fitted.topics(layer=layer)
        assert (table["feature 1"] == "(dead)").all() and (table["feature 2"] == "").all()


def test_dead_topics_beside_others():
    """H: three of six topics are dead, and only those; what is alive keeps its words."""
    fitted = quiet(HierarchicalNMF((6, 3), random_state=0).fit, BLOCKS)
    dead = fitted.layers_[0].dead
    assert dead == [3, 4, 5]
    table = fitted.topics(layer=0, top=3)
    assert [t for t in table.index if table.loc[t, "feature 1"] == "(dead)"] == dead
    lines = fitted.tree(top=3).splitlines()
    assert [line.endswith("  (dead)") for line in lines].count(True) == 3
    assert sum("x0 x1 x2" in line for line in lines) == 2  # a topic and its supertopic


def test_a_guided_topic_without_data_is_called_dead():
    """H: seeds of which no data point has any."""
    data = np.hstack([X, np.zeros((24, 2))])
    fitted = quiet(GuidedNMF(4, seeds={"none": [12, 13]}, **QUICK).fit, data)
    assert fitted.guide()["features"].tolist() == ["(dead)"]
    assert fitted.topics().loc[0, "feature 1"] == "(dead)"


@pytest.mark.parametrize("loss", ["frobenius", "cross_entropy"])
@pytest.mark.parametrize("name", WITH_L)
def test_empty_data_points_get_the_most_frequent_class(name, loss):
    """H: one warning counts them; probabilities are the frequencies, and all doors agree."""
    change = dict(label_loss=loss) if name == "NeuralNMF" else {}
    uneven = np.where(KNOWN | (NUMBER == 1), Y, "-1")  # six ants, eight bees, six cats
    fitted = quiet(model(name, **change).fit, X, uneven)
    holes = X.copy()
    holes[[2, 20]] = 0
    with pytest.warns(UserWarning, match=r"2 of 24 data points \(the first: 2\).*'bee'") as caught:
        found = fitted.predict(holes)
    assert len(caught) == 1 and found[[2, 20]].tolist() == ["bee", "bee"]
    assert fitted.predict_proba(holes)[2] == pytest.approx([0.3, 0.4, 0.3])
    assert (fitted.classes_[fitted.decision_function(holes).argmax(axis=1)] == found).all()
    full = np.setdiff1d(np.arange(24), [2, 20])
    assert (found[full] == quiet(fitted.predict, X)[full]).all()
    two = quiet(model(name, **change).fit, X, np.where(NUMBER == 0, "a", "b"))
    assert two.decision_function(holes)[2] > 0  # b is the more frequent one
    with pytest.warns(UserWarning, match="'b'"):
        assert two.predict(holes)[2] == "b"


def test_frequencies_are_saved(tmp_path):
    """H: a saved model answers as before for empty data points."""
    fitted = quiet(model("NeuralNMF").fit, X, np.where(KNOWN | (NUMBER == 1), Y, "-1"))
    nnmf_nb.save(fitted, tmp_path / "one.safetensors")
    again = nnmf_nb.load(tmp_path / "one.safetensors")
    empty = np.zeros((1, 12))
    assert (again.predict_proba(empty) == fitted.predict_proba(empty)).all()
    assert again.predict_proba(empty)[0] == pytest.approx([0.3, 0.4, 0.3])


def test_layers_with_and_without_labels_are_scored_apart():
    """K: {layer: y} scores these layers together; a layer fitted without labels is an error."""
    fitted = quiet(NeuralNMF((4, 3), **QUICK).fit, X, {0: Y, 1: Y})
    y = np.where(np.arange(24) < 12, Y, "dog")
    lower, upper = (quiet(fitted.score, X, {layer: y}) for layer in (0, -1))
    assert quiet(fitted.score, X, {0: y, 1: y}) == pytest.approx((lower + upper) / 2)
    only = quiet(NeuralNMF((4, 3), **QUICK).fit, X, Y)
    with pytest.raises(ValueError, match="fitted without labels"):
        only.score(X, {0: Y})
