"""Sparse coding networks: exact codes, exact gradients, and an estimator that keeps its
promises.
"""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from nnmf_nb import SparseCodingNetwork
from nnmf_nb.chain._labels import class_numbers, softmax_loss
from nnmf_nb.core._arrays import asarray, to_numpy
from nnmf_nb.core._data import DataMatrix
from nnmf_nb.core._linalg import unit_columns
from nnmf_nb.layer._nnls import kkt_residual
from nnmf_nb.models import _sparse_coding as sparse_coding
from nnmf_nb.models._sparse_coding import (
    Network,
    NetworkObjective,
    code_backward,
    code_forward,
    coding_cost,
    descend,
    improve_atoms,
    learn_dictionary,
    lower_bounds,
    pretrain,
    some_points,
    train_network,
)


def quiet(model, X, y=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def clusters(n=60, m=10, seed=0):
    """Signed data in three noisy classes, n x m, and their labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    return 2 * rng.standard_normal((3, m))[y] + rng.standard_normal((n, m)), y


def random_network(shapes, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    D = [unit_columns(rng.standard_normal(shape)) for shape in shapes]
    return Network(
        D,
        [0.2, 0.05][: len(D)],
        [0.1, 0.03][: len(D)],
        rng.standard_normal((classes, shapes[-1][1])),
        rng.standard_normal(classes),
    )


X, Y = clusters()
SMALL = dict(ranks=(8, 4), random_state=0, max_iter=60)
SHAPES = [[(10, 7)], [(10, 7), (7, 5)], [(10, 14), (14, 5)]]


# --- codes and their derivatives ------------------------------------------------------------------


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_codes_are_optimal(shapes, scale):
    net, data = random_network(shapes), DataMatrix(X.T, scale=scale)
    fwd = code_forward(data, net.D, net.l1, net.l2)
    below = X.T / scale
    for d, l1, l2, s in zip(net.D, net.l1, net.l2, fwd.S):
        assert s.min() >= 0 and s.max() > 0
        assert kkt_residual(d, below, s, l1=l1, l2=l2).max() < 1e-10
        below = s


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_backward_against_central_differences(shapes, scale):
    net, rng, h = random_network(shapes), np.random.default_rng(1), 1e-6
    data = DataMatrix(X.T, scale=scale)
    T = rng.standard_normal((shapes[-1][1], len(X)))
    exact = code_backward(code_forward(data, net.D, net.l1, net.l2), T)

    def numeric(name, l, change):
        ends = [
            getattr(net, name)[:l]
            + [getattr(net, name)[l] + s * h * change]
            + getattr(net, name)[l + 1 :]
            for s in (1, -1)
        ]
        up, down = (net._replace(**{name: end}) for end in ends)
        return sum(
            s * (T * code_forward(data, n.D, n.l1, n.l2).S[-1]).sum()
            for n, s in ((up, 1), (down, -1))
        ) / (2 * h)

    for l, d in enumerate(net.D):
        E = rng.standard_normal(d.shape)
        assert numeric("D", l, E) == pytest.approx((E * exact.D[l]).sum(), rel=1e-5, abs=1e-5)
        assert numeric("l1", l, 1.0) == pytest.approx(exact.l1[l], rel=1e-5, abs=1e-5)
        assert numeric("l2", l, 1.0) == pytest.approx(exact.l2[l], rel=1e-5, abs=1e-5)
        assert abs(exact.l1[l]) > 1e-3 and abs(exact.l2[l]) > 1e-3


@pytest.mark.parametrize("shapes", SHAPES)
def test_objective_against_central_differences_in_every_block(shapes):
    net, h = random_network(shapes), 1e-6
    objective = NetworkObjective(
        DataMatrix(X.T, scale=3.0), np.eye(3)[:, Y], net, ridge=0.1, size=0.7
    )
    vector = objective.vector(net)
    _, gradient = objective(vector)
    ends = np.cumsum([d.size for d in net.D] + [len(net.D), len(net.D), net.W.size, net.b.size])
    for first, last in zip([0, *ends], ends):
        e = np.zeros_like(vector)
        e[first:last] = np.random.default_rng(first).standard_normal(last - first)
        numeric = (objective(vector + h * e)[0] - objective(vector - h * e)[0]) / (2 * h)
        assert numeric == pytest.approx(gradient @ e, rel=1e-5, abs=1e-8)
        assert np.abs(gradient[first:last]).max() > 1e-6


def test_objective_does_not_see_the_lengths_of_columns():
    net = random_network([(10, 7)])
    objective = NetworkObjective(
        DataMatrix(X.T, scale=1.0), np.eye(3)[:, Y], net, ridge=0.1, size=1.0
    )
    vector = objective.vector(net)
    longer = vector.copy()
    longer[:70] *= 5
    assert objective(longer)[0] == pytest.approx(objective(vector)[0], rel=1e-12)
    assert objective(longer)[1][:70] == pytest.approx(
        objective(vector)[1][:70] / 5, rel=1e-9, abs=1e-12
    )


def test_unknown_labels_do_not_reach_the_classifier():
    rng = np.random.default_rng(0)
    S, W, b, T = (
        rng.random((4, 30)),
        rng.standard_normal((3, 4)),
        rng.standard_normal(3),
        np.eye(3)[:, rng.integers(3, size=30)],
    )
    T[:, ::2] = 0
    all_, known = softmax_loss(S, T, W, b, 0.1), softmax_loss(S[:, 1::2], T[:, 1::2], W, b, 0.1)
    assert not all_[1][:, ::2].any() and np.abs(all_[1][:, 1::2]).min() > 0
    for i in (0, 2, 3):
        assert all_[i] == pytest.approx(known[i])


@pytest.mark.parametrize("c", [1e-20, 7.0, 1e20])
def test_the_unit_of_the_codes_does_not_matter(c):
    # a ridge on W alone could be evaded by codes that grow
    rng = np.random.default_rng(0)
    S, W, b, T = (
        rng.random((4, 30)),
        rng.standard_normal((3, 4)),
        rng.standard_normal(3),
        np.eye(3)[:, rng.integers(3, size=30)],
    )
    assert softmax_loss(c * S, T, W / c, b, 0.1)[0] == pytest.approx(
        softmax_loss(S, T, W, b, 0.1)[0]
    )


def test_huge_logits_do_not_overflow():
    value, *parts = softmax_loss(
        np.full((1, 2), 1e5), np.eye(2), np.array([[1.0], [-1.0]]), np.zeros(2), 0.0
    )
    assert value == pytest.approx(1e5) and all(np.isfinite(p).all() for p in parts)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_core_in_strict_array_api(dtype):
    strict = pytest.importorskip("array_api_strict")
    net, like = (
        random_network([(10, 7), (7, 5)]),
        strict.asarray([1.0], dtype=getattr(strict, dtype)),
    )
    T = np.random.default_rng(0).standard_normal((5, len(X)))
    mine = code_forward(
        DataMatrix(asarray(X.T, like), scale=2.0), [asarray(d, like) for d in net.D], net.l1, net.l2
    )
    host = code_forward(DataMatrix(X.T, scale=2.0), net.D, net.l1, net.l2)
    tol = 1e-9 if dtype == "float64" else 1e-3
    assert mine.S[-1].dtype == like.dtype and to_numpy(mine.S[-1]) == pytest.approx(
        host.S[-1], abs=tol
    )
    a, b = code_backward(mine, asarray(T, like)), code_backward(host, T)
    assert to_numpy(a.D[0]) == pytest.approx(b.D[0], abs=100 * tol) and a.l1 == pytest.approx(
        b.l1, abs=100 * tol
    )


def test_training_in_strict_array_api():
    strict = pytest.importorskip("array_api_strict")
    fits = [
        quiet(SparseCodingNetwork(**SMALL | dict(max_iter=2)), Z, Y) for Z in (X, strict.asarray(X))
    ]
    assert to_numpy(fits[1].transform(strict.asarray(X))) == pytest.approx(
        fits[0].transform(X), abs=1e-6
    )
    assert (fits[1].predict(strict.asarray(X)) == fits[0].predict(X)).all()


# --- dictionary learning --------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 5, 15])
def test_dictionary_learning_never_rises_and_keeps_unit_atoms(k):
    data, rng = DataMatrix(X.T, scale=2.0), np.random.default_rng(0)
    fit = learn_dictionary(data, some_points(data, k, rng), 0.3, 0.05, rng, max_iter=40, tol=0)
    assert (np.diff(fit.costs) <= 0).all() and fit.costs[-1] < fit.costs[0]
    assert np.linalg.norm(fit.D, axis=0) == pytest.approx(np.ones(k))
    assert fit.costs[-1] == pytest.approx(coding_cost(data, fit.D, fit.S, 0.3, 0.05))


def test_one_atom_is_the_best_on_the_sphere():
    # with one atom and fixed codes the optimum is known: the direction of X s'
    rng = np.random.default_rng(0)
    s, d = (
        rng.random((1, 60)),
        improve_atoms(
            unit_columns(rng.standard_normal((10, 1))), np.array([[2.0]]), X.T @ np.ones((60, 1))
        ),
    )
    assert d[:, 0] == pytest.approx(X.sum(axis=0) / np.linalg.norm(X.sum(axis=0))) and s.min() >= 0


def test_an_unused_atom_becomes_a_data_point():
    data = DataMatrix(X.T, scale=2.0)
    D = np.stack([np.ones(10), -np.ones(10)], axis=1) / np.sqrt(10)
    D[:, 1] = 0.0  # no code can use it
    fit = learn_dictionary(data, D, 0.1, 0.0, np.random.default_rng(0), max_iter=10, tol=0)
    assert fit.S[1].max() > 0 and (np.diff(fit.costs) <= 0).all()


def test_end_to_end_never_rises():
    data = DataMatrix(X.T, scale=5.0)
    net, _ = pretrain(data, (8, 4), 0.1, 0.01, np.random.default_rng(0))
    trained, end = train_network(data, np.eye(3)[:, Y], net, max_iter=60)
    assert (np.diff(end.values) <= 1e-12).all() and end.values[-1] < 0.9 * end.values[0]
    assert min(trained.l1) >= 0 and min(trained.l2) >= 0.001 - 1e-15
    assert all(np.linalg.norm(d, axis=0) == pytest.approx(np.ones(d.shape[1])) for d in trained.D)


def test_bounds_are_those_of_the_penalties():
    lower = lower_bounds(random_network([(10, 7), (7, 5)]))
    assert np.isfinite(lower).sum() == 4 and lower[np.isfinite(lower)] == pytest.approx(
        [0, 0, 0.01, 0.003]
    )


@pytest.mark.parametrize("tol, reason", [(1e-6, "stationary"), (0.0, "max_iter")])
def test_descent_of_a_quadratic_with_a_bound(tol, reason):
    end = descend(
        lambda v: (float(((v + 1) ** 2).sum()), 2 * (v + 1)),
        np.array([3.0, 4.0]),
        np.array([0.0, -np.inf]),
        max_iter=50 if tol else 1,
        tol=tol,
    )
    assert end.reason == reason
    if tol:
        assert end.vector == pytest.approx([0, -1], abs=1e-6)


# --- the estimator --------------------------------------------------------------------------------


def test_it_learns_and_describes_itself():
    model = quiet(SparseCodingNetwork(**SMALL), X, Y)
    assert model.score(X, Y) > 0.95 and not is_classifier(model)
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(60)) and model.predict_proba(
        X
    ).shape == (60, 3)
    assert [d.shape for d in model.dictionaries_] == [
        (10, 8),
        (8, 4),
    ] and model.penalties_.shape == (2, 2)
    assert model.components_ == pytest.approx((model.dictionaries_[0] @ model.dictionaries_[1]).T)
    logits = model.transform(X) @ model.coef_.T + model.intercept_
    assert (model.classes_[logits.argmax(axis=1)] == model.predict(X)).all()
    assert (np.diff(model.history_["objective"]) <= 1e-12).all() and model.n_iter_ == len(
        model.history_["objective"]
    ) - 1
    assert model.inverse_transform(model.transform(X)).shape == X.shape
    assert (pickle.loads(pickle.dumps(model)).predict(X) == model.predict(X)).all()


@pytest.mark.parametrize("y", [None, Y])
@pytest.mark.parametrize("kind", ["dense", "float32", "csr"])
def test_fit_transform_is_transform(kind, y):
    Z = {"dense": X, "float32": X.astype(np.float32), "csr": sp.csr_array(X)}[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        codes = SparseCodingNetwork(**SMALL).fit_transform(Z, y)
    model = quiet(SparseCodingNetwork(**SMALL), Z, y)
    assert (codes == model.transform(Z)).all() and codes.min() >= 0 and codes.dtype == Z.dtype
    assert (
        all(d.dtype == Z.dtype for d in model.dictionaries_) and model.components_.dtype == Z.dtype
    )
    assert model.inverse_transform(codes).dtype == Z.dtype


def test_sparse_is_dense():
    Z = np.where(np.abs(X) > 1.5, X, 0)
    few = SMALL | dict(max_iter=10)  # rounding grows with every iteration
    dense = quiet(SparseCodingNetwork(**few), Z, Y)
    for as_sparse in (sp.csr_array, sp.csc_array, sp.coo_array):
        model = quiet(SparseCodingNetwork(**few), as_sparse(Z), Y)
        assert model.transform(as_sparse(Z)) == pytest.approx(dense.transform(Z), abs=1e-5)
        assert (model.predict(as_sparse(Z)) == dense.predict(Z)).all()


@pytest.mark.parametrize("c", [2.0**40, 1e-30, 1e30])
def test_units_do_not_matter(c):
    a, b = (quiet(SparseCodingNetwork(**SMALL | dict(max_iter=10)), Z, Y) for Z in (X, c * X))
    assert b.transform(c * X) / c == pytest.approx(a.transform(X), abs=1e-6)
    assert b.penalties_[:, 0] / c == pytest.approx(a.penalties_[:, 0], rel=1e-4, abs=1e-8)
    assert b.predict_proba(c * X) == pytest.approx(a.predict_proba(X), abs=1e-6)


def test_labels_of_any_kind():
    names = np.array(["red", "green", "blue"])[Y]
    plain = quiet(SparseCodingNetwork(**SMALL), X, Y)
    words = quiet(SparseCodingNetwork(**SMALL), X, names)
    assert set(words.predict(X)) <= set(names) and words.score(X, names) > 0.95
    assert plain.classes_.tolist() == [0, 1, 2] and words.classes_.tolist() == [
        "blue",
        "green",
        "red",
    ]
    flags = quiet(SparseCodingNetwork(**SMALL), X, Y == 0)
    assert flags.predict(X).dtype == bool and flags.score(X, Y == 0) > 0.95
    mixed = np.array([*names[:50], *[-1] * 10], dtype=object)
    assert class_numbers(mixed, 60)[1][50:].tolist() == [-1] * 10


def test_all_unknown_is_unsupervised_exactly():
    none, unknown = (quiet(SparseCodingNetwork(**SMALL), X, y) for y in (None, np.full(60, -1)))
    assert (none.transform(X) == unknown.transform(X)).all() and len(unknown.classes_) == 0
    assert (
        not hasattr(none, "predict")
        and not hasattr(unknown, "score")
        and none.history_["objective"] == []
    )


def test_unknown_points_shape_the_start_only():
    y = np.where(np.arange(60) < 40, Y, -1)
    some, whole = (
        quiet(SparseCodingNetwork(**SMALL | dict(pretrain_iter=0, ranks=8)), X, labels)
        for labels in (y, Y)
    )
    assert (
        some.history_["pretraining"] == whole.history_["pretraining"]
        and some.history_["objective"] != whole.history_["objective"]
    )
    data = DataMatrix(X[:40].T, scale=some.unit_)
    start = quiet(SparseCodingNetwork(**SMALL | dict(pretrain_iter=0, ranks=8)), X)
    net = Network(
        start.dictionaries_,
        (start.penalties_[:, 0] / start.unit_).tolist(),
        start.penalties_[:, 1].tolist(),
    )
    _, end = train_network(data, np.eye(3)[:, Y[:40]], net, max_iter=60, tol=1e-3)
    assert end.values[:10] == pytest.approx(some.history_["objective"][:10], rel=1e-9)
    assert some.score(X, y) == np.mean(some.predict(X[:40]) == Y[:40])


@pytest.mark.parametrize(
    "bad",
    [
        dict(ranks=()),
        dict(ranks=(3, 0)),
        dict(l1=-1),
        dict(l2=np.inf),
        dict(ridge=-0.1),
        dict(pretrain_iter=-1),
        dict(max_iter=1.5),
        dict(tol=-1),
    ],
    ids=lambda c: f"{next(iter(c))}={next(iter(c.values()))}",
)
def test_bad_parameters_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        SparseCodingNetwork(**bad).fit(X, Y)


@pytest.mark.parametrize("y", [Y[:5], np.linspace(0, 1, 60), np.full((60, 2), -2)])
def test_bad_labels_are_refused(y):
    with pytest.raises(ValueError):
        SparseCodingNetwork(**SMALL).fit(X, y)


@pytest.mark.parametrize(
    "Z",
    [
        np.zeros((6, 4)),
        np.ones((6, 4)),
        np.eye(6, 4),
        np.ones((1, 4)),
        np.arange(6.0).reshape(6, 1) - 2,
        np.tile(X[:3], (2, 1)),
        np.diag([1.0, 0, 0, 0])[[0, 1, 2, 3, 0, 0]],
    ],
    ids=["zero", "constant", "zero rows", "one point", "one feature", "duplicates", "rank one"],
)
@pytest.mark.parametrize("labeled", [False, True])
def test_degenerate_data(Z, labeled):
    y = np.arange(len(Z)) % 2 if labeled else None
    model = quiet(SparseCodingNetwork((7, 3), random_state=0, max_iter=20), Z, y)
    for name in ("components_", "penalties_", *(("coef_", "intercept_") if labeled else ())):
        assert np.isfinite(getattr(model, name)).all()
    assert (
        np.isfinite(model.transform(Z)).all()
        and np.isfinite(model.history_["pretraining"][0]).all()
    )
    assert not labeled or np.isfinite(model.predict_proba(Z)).all()


def test_one_class_is_certain():
    model = quiet(SparseCodingNetwork(**SMALL), X, np.full(60, 7))
    assert (model.predict(X) == 7).all() and (model.predict_proba(X) == 1).all()


def test_penalty_of_one_silences_most():
    loud, silent = (
        quiet(SparseCodingNetwork(8, l1=l1, random_state=0), X).transform(X) for l1 in (0.1, 1.0)
    )
    assert (silent > 0).mean() < 0.2 * (loud > 0).mean()


@pytest.mark.parametrize("when", [1, 5, 20])
def test_interrupt_in_training_returns_the_best(monkeypatch, when):
    calls, backward = [0], sparse_coding.code_backward

    def impatient(*args):
        calls[0] += 1
        if calls[0] == when:
            raise KeyboardInterrupt
        return backward(*args)

    monkeypatch.setattr(sparse_coding, "code_backward", impatient)
    model = SparseCodingNetwork(**SMALL).fit(X, Y)
    assert (
        model.stop_reason_ == "interrupted"
        and not model.converged_
        and np.isfinite(model.predict_proba(X)).all()
    )
    monkeypatch.undo()
    if model.history_["objective"]:  # the model kept is that of the last, lowest cost
        P, W = model.predict_proba(X), model.coef_ * model.unit_
        assert (
            -np.log(P[np.arange(60), Y]).mean()
            <= model.history_["objective"][-1]
            <= model.history_["objective"][0]
            and np.isfinite(W).all()
        )


@pytest.mark.parametrize("when", [1, 3])
def test_interrupt_in_the_start_leaves_a_usable_model(monkeypatch, when):
    calls, improve = [0], sparse_coding.improve_atoms

    def impatient(*args):
        calls[0] += 1
        if calls[0] == when:
            raise KeyboardInterrupt
        return improve(*args)

    monkeypatch.setattr(sparse_coding, "improve_atoms", impatient)
    model = SparseCodingNetwork(**SMALL).fit(X, Y)
    assert (
        model.stop_reason_ == "interrupted"
        and len(model.history_["pretraining"][0]) == when
        and model.predict(X).shape == (60,)
    )


def test_interrupt_in_the_classifier_ends_the_fit(monkeypatch):
    calls, loss = [0], sparse_coding.softmax_loss

    def impatient(*args):
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return loss(*args)

    monkeypatch.setattr(sparse_coding, "softmax_loss", impatient)
    model = SparseCodingNetwork(**SMALL).fit(X, Y)
    assert (
        model.stop_reason_ == "interrupted"
        and len(model.history_["objective"]) == 1
        and model.score(X, Y) > 0.4
    )


def test_running_out_of_iterations_warns():
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        SparseCodingNetwork(**SMALL | dict(max_iter=2)).fit(X, Y)
    with pytest.warns(ConvergenceWarning, match="pretrain_iter"):
        SparseCodingNetwork(**SMALL | dict(pretrain_iter=1)).fit(X)


def test_a_callback_sees_the_model_and_stops_it():
    class Third:
        seen = 0

        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            if (
                context.task_name != "iteration"
                or fitted_estimator is None
                or not hasattr(fitted_estimator, "coef_")
            ):
                return False
            assert fitted_estimator.predict(X).shape == (60,)
            self.seen += 1
            return self.seen == 3

    callback = Third()
    model = SparseCodingNetwork(**SMALL).set_callbacks(callback).fit(X, Y)
    assert callback.seen == 3 and model.stop_reason_ == "callback" and model.n_iter_ == 3


def test_it_can_be_searched_by_its_own_score():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = GridSearchCV(
            SparseCodingNetwork(**SMALL | dict(max_iter=5)), {"l1": [0.05, 0.9]}, cv=2
        ).fit(X, Y)
    assert search.best_params_["l1"] == 0.05


def test_input_stays_as_it_was():
    Z, y = X.copy(), Y.copy()
    quiet(SparseCodingNetwork(**SMALL), Z, y)
    assert (Z == X).all() and (y == Y).all()
