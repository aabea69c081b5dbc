"""Deep Semi-NMF: exact steps of any rank, an objective that never rises, signed data of every kind,
and the estimator's contract.
"""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import DeepSemiNMF, datasets
from nnmf_nb.chain import _semi_nmf as semi
from nnmf_nb.chain._labels import read_labels
from nnmf_nb.chain._semi_nmf import (
    ClassGraph,
    SemiTerms,
    balanced,
    inverse_in_rank,
    kmeans_start,
    multiplicative_H,
    pretrain_semi,
    product,
    semi_iteration,
    semi_objective,
    step_H,
    step_Z,
    train_semi,
    with_unit_columns,
)
from nnmf_nb.core._arrays import host_rng, to_numpy
from nnmf_nb.core._data import as_data, relative_error
from nnmf_nb.core._linalg import svd_floors
from nnmf_nb.evaluation.metrics import label_agreement
from nnmf_nb.layer._nnls import kkt_residual, nnls
from nnmf_nb.models._base import EarlyStopping

SOLVERS = ("anls", "mu")
RANKS = (6, 4, 2)


def signed(n=60, m=12, seed=0, dtype=np.float64):
    """n points x m features around six signed centroids, the labels beside them."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 6
    return (2 * rng.standard_normal((6, m))[label] + 0.5 * rng.standard_normal((n, m))).astype(
        dtype
    ), label


def factors(N=12, M=60, ranks=RANKS, seed=0):
    rng, rows, Z = np.random.default_rng(seed), N, []
    for k in ranks:
        Z.append(rng.standard_normal((rows, k)))
        rows = k
    return Z, rng.random((rows, M)) + 0.1


def quiet(model, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X)


# --- steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [0.0, 0.3])
@pytest.mark.parametrize("l", range(3))
def test_step_Z_follows_the_derivative_to_the_minimum(l, mu):
    X = as_data(signed()[0].T)
    Z, H = factors()
    Q, K = X.XSt(H), H @ H.T + mu * np.eye(2)
    value = lambda z: X.norm2 * semi_objective(X, product([*Z[:l], z, *Z[l + 1 :]]), H, mu)  # noqa: E731
    new, C = step_Z({2: Q}, {2: K}, Z, l, 1e-12)
    rng = np.random.default_rng(1)
    for _ in range(3):
        D = rng.standard_normal(Z[l].shape)
        assert (value(Z[l] + 1e-5 * D) - value(Z[l] - 1e-5 * D)) / 2e-5 == pytest.approx(
            -2 * np.sum(C * D), rel=1e-6
        )
        # quadratic: no direction goes further down
        assert value(new[l] + 1e-3 * D) >= value(new[l]) - 1e-10
    _, C = step_Z({2: Q}, {2: K}, new, l, 1e-12)
    assert np.abs(C).max() < 1e-8 * np.abs(Q).max()


@pytest.mark.parametrize(
    "spoil", ["dead row of H", "twin rows of H", "twin columns of Z", "zero Z"]
)
@pytest.mark.parametrize("l", range(3))
def test_step_Z_survives_dependent_factors(l, spoil):
    X = as_data(signed()[0].T)
    Z, H = factors()
    if spoil == "dead row of H":
        H[0] = 0
    if spoil == "twin rows of H":
        H[0] = H[1] * 3
    if spoil == "twin columns of Z":
        Z = [z[:, [1, 1, *range(2, z.shape[1])]] for z in Z]
    if spoil == "zero Z":
        Z = [0 * z for z in Z]
    new, _ = step_Z({2: X.XSt(H)}, {2: H @ H.T}, Z, l, 1e-12)
    assert all(np.isfinite(z).all() for z in new)
    assert semi_objective(X, product(new), H) <= semi_objective(X, product(Z), H) + 1e-12
    assert np.abs(new[l]).max() < 1e4  # nothing is blown up along what cannot be resolved


def test_generalized_inverse():
    A = np.random.default_rng(0).standard_normal((9, 3)) @ np.random.default_rng(1).standard_normal(
        (3, 5)
    )
    G = A.T @ A
    P = inverse_in_rank(G, 1e-12)
    np.testing.assert_allclose(P @ G @ P, P, atol=1e-10 * np.abs(P).max())
    np.testing.assert_allclose(G @ P @ G, G, atol=1e-10 * np.abs(G).max())
    assert not inverse_in_rank(np.zeros((3, 3)), 1e-12).any()


def test_multiplicative_step_lowers_the_quadratic_and_stops_at_its_minimum():
    rng = np.random.default_rng(0)
    Phi, X, H = rng.standard_normal((12, 5)), signed()[0].T, rng.random((5, 60))
    G, F = Phi.T @ Phi, Phi.T @ X
    value = lambda H: np.sum(H * (G @ H)) / 2 - np.sum(F * H)  # noqa: E731
    for _ in range(50):
        new = multiplicative_H(G, F, H)
        assert new.min() >= 0 and value(new) <= value(H) + 1e-12 * abs(value(H))
        H = new
    best = nnls(Phi, X)
    assert value(best) <= value(H)
    np.testing.assert_allclose(multiplicative_H(G, F, best), best, atol=1e-7)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("ridge", [0, 1e-2])
@pytest.mark.parametrize("kind", ["dense", "sparse", "centered"])
def test_no_turn_raises_the_objective(kind, ridge, solver):
    data = signed()[0]
    X = as_data(
        {
            "dense": data,
            "centered": data - data.mean(axis=0),
            "sparse": sp.csr_array(data * (np.abs(data) > 1)),
        }[kind].T
    )
    Z, H = factors()
    mu = ridge * X.norm2**0.5
    before = semi_objective(X, product(Z), H, mu)

    def turn(Z, H):
        Z, H, *rest = semi_iteration(X, Z, {2: H}, SemiTerms(ridge, solver))
        return Z, H.values(), *rest

    for _ in range(40):
        Z, (H,), after, far = turn(Z, H)
        assert H.min() >= 0 and after <= before + 1e-12 and far >= 0
        before = after
    assert after == pytest.approx(semi_objective(X, product(Z), H, mu), rel=1e-9)


def test_balancing_keeps_the_product_and_lowers_the_price():
    X = as_data(signed()[0].T)
    Z, H = factors()
    for change in (balanced, with_unit_columns):
        z, h = change(Z, {2: H})
        h = h[2]
        np.testing.assert_allclose(product(z) @ h, product(Z) @ H)
        np.testing.assert_allclose(np.linalg.norm(z[0], axis=0), 1)
    z, h = balanced(Z, {2: H})
    h = h[2]
    np.testing.assert_allclose(np.linalg.norm(product(z), axis=0), np.linalg.norm(h, axis=1))
    assert semi_objective(X, product(z), h, 1.0) < semi_objective(X, product(Z), H, 1.0)


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ridge", [1e-3, 1e-1])
def test_single_layer_ends_at_an_optimum(ridge):
    X = as_data(signed()[0].T)
    (fit,) = pretrain_semi(X, (4,), host_rng(0), SemiTerms(ridge), max_iter=5000, tol=1e-8)
    assert fit.reason == "stationary"
    (Z,), H, mu = fit.Z, fit.H[0], ridge * X.norm2**0.5
    assert kkt_residual(Z, X.X / X.scale, H, l2=mu).max() < 1e-9
    normal = X.XSt(H) - Z @ (H @ H.T + mu * np.eye(4))
    assert np.abs(normal).max() < 1e-6 * np.abs(X.XSt(H)).max()
    gradient = (Z.T @ Z + mu * np.eye(4)) @ H - X.AtX(Z)
    assert gradient.min() > -1e-8 and np.abs(gradient[H > 0]).max() < 1e-8


def test_depth_ends_where_one_layer_does():
    X = as_data(signed()[0].T)
    below = pretrain_semi(X, RANKS, host_rng(0))
    deep = train_semi(X, [fit.Z[0] for fit in below], {2: below[-1].H[0]}, tol=1e-7)
    flat = train_semi(X, [product(deep.Z)], {0: deep.H[2]}, tol=0, max_iter=50)
    assert deep.reason == "stationary" and deep.objective[-1] == pytest.approx(
        flat.objective[-1], rel=1e-9
    )


def test_nonnegative_data_reach_the_svd():
    """Whose best low-rank approximation has a positive right singular vector, loses nothing by H >=
    0.
    """
    X = as_data(datasets.toy(random_state=0).X.T)
    (fit,) = pretrain_semi(X, (2,), host_rng(0), SemiTerms(0.0), max_iter=3000, tol=1e-8)
    assert fit.objective[-1] ** 0.5 == pytest.approx(svd_floors(X, (2,))[0], rel=1e-4)


def test_ridge_keeps_factors_small_where_nothing_else_does():
    data = signed(n=80)[0]
    X = as_data((data - data.mean(axis=0)).T)
    size = {}
    for ridge in (0, 1e-2):
        (fit,) = pretrain_semi(X, (5,), host_rng(0), SemiTerms(ridge), max_iter=300)
        size[ridge] = np.linalg.norm(with_unit_columns(fit.Z, fit.H)[1][0])
    assert size[0] > 10 * size[1e-2] and size[1e-2] < 10 * X.norm2**0.5


def test_training_keeps_everything_on_interrupt():
    X = as_data(signed()[0].T)
    Z, H = factors()

    turns = []

    def impatient(value, far, Z):
        turns.append(value)
        if len(turns) == 4:
            raise KeyboardInterrupt

    fit = train_semi(X, Z, {2: H}, tol=0, callback=impatient)
    assert fit.reason == "interrupted" and len(fit.objective) == 4
    assert fit.objective[-1] == pytest.approx(
        semi_objective(X, product(fit.Z), fit.H[2], 1e-2 * X.norm2**0.5)
    )


@pytest.mark.parametrize("stop", [2, 30, 9])
def test_interrupted_fit_is_a_fitted_model(monkeypatch, stop):
    turns = []

    def turn(*args):
        turns.append(0)
        if len(turns) == stop:
            raise KeyboardInterrupt
        return semi_iteration(*args)

    monkeypatch.setattr(semi, "semi_iteration", turn)
    data = signed()[0]
    model = DeepSemiNMF((4, 2), pretrain_iter=5, tol=0, random_state=0).fit(data)
    assert model.stop_reason_ == "interrupted" and not model.converged_
    assert model.transform(data).shape == (60, 2) and model.layers_[-1].error < 1


def test_start_knows_the_clusters():
    data, label = signed()
    H = kmeans_start(as_data(data.T), 6, host_rng(0))
    assert H.min() > 0 and label_agreement(H.T, label).nmi == pytest.approx(1)


# --- the estimator --------------------------------------------------------------------------------


@pytest.mark.each_value_once
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", ["dense", "csr", "csc", "float32", "fortran"])
def test_all_kinds_of_data(kind, solver):
    data = signed()[0] * (np.abs(signed()[0]) > 0.5)
    X = {
        "dense": data,
        "csr": sp.csr_array(data),
        "csc": sp.csc_array(data),
        "float32": data.astype(np.float32),
        "fortran": np.asfortranarray(data),
    }[kind]
    kept = X.copy()
    model = quiet(DeepSemiNMF(RANKS, solver=solver, max_iter=200, random_state=0), X)
    H = model.transform(X)
    assert (
        H.dtype == X.dtype == model.components_.dtype
        and (to_numpy(model.layers_[-1].H) == H.T).all()
        and H.min() >= 0
    )
    assert (abs(X - kept)).sum() == 0
    back = model.inverse_transform(H)
    assert np.linalg.norm(data - back) == pytest.approx(model.reconstruction_err_, rel=1e-4)
    np.testing.assert_allclose(back, H @ model.components_, rtol=1e-4, atol=1e-5)
    reference = quiet(DeepSemiNMF(RANKS, solver=solver, max_iter=200, random_state=0), data)
    assert model.reconstruction_err_ == pytest.approx(reference.reconstruction_err_, rel=2e-3)


def test_fit_transform_is_transform_at_every_layer():
    data = signed()[0]
    model = DeepSemiNMF(RANKS, random_state=0)
    assert (model.fit_transform(data) == model.transform(data)).all()
    for l, layer in enumerate(model.layers_):
        H = model.transform(data, layer=l)
        assert (H == layer.H.T).all() and H.min() >= 0
        assert np.linalg.norm(data - model.inverse_transform(H, layer=l)) / np.linalg.norm(
            data
        ) == pytest.approx(layer.error)
        np.testing.assert_allclose(
            H.T, nnls(product([one.Z for one in model.layers_[: l + 1]]), data.T), atol=1e-9
        )
    np.testing.assert_allclose(
        model.transform(data[:1]), model.transform(data)[:1], atol=1e-12
    )  # a data point does not depend on its neighbors


@pytest.mark.each_value_once
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e30])
@pytest.mark.parametrize("solver", SOLVERS)
def test_scale_does_not_matter(scale, solver):
    data = signed()[0]
    one, other = (
        quiet(DeepSemiNMF(RANKS, solver=solver, max_iter=50, random_state=0), c * data)
        for c in (1, scale)
    )
    np.testing.assert_allclose(
        [a.error for a in one.layers_], [a.error for a in other.layers_], rtol=1e-5
    )
    np.testing.assert_allclose(one.components_, other.components_, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "X",
    [
        np.zeros((5, 4)),
        np.ones((1, 4)),
        -np.ones((5, 1)),
        np.ones((6, 5)),
        -np.ones((6, 5)),
        np.eye(4),
        np.vstack([np.zeros((3, 4)), -np.eye(4)]),
    ],
    ids=["zero", "one row", "one column", "constant", "negative", "identity", "zero rows"],
)
def test_degenerate_data(X, solver):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".* topics are more than the", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = DeepSemiNMF((5, 3), solver=solver, max_iter=50, random_state=0).fit(X)
        H = model.transform(X)
    assert (
        np.isfinite(H).all()
        and H.min() >= 0
        and np.isfinite(model.components_).all()
        and np.isfinite(model.reconstruction_err_)
    )
    assert all(
        np.isfinite(values).all()
        for values in (model.history_["objective"], model.history_["stationarity"])
    )
    assert model.layers_[-1].error <= 1 + 1e-12


def test_learns_signed_clusters():
    data, label = signed()
    model = DeepSemiNMF(6, random_state=0).fit(data)
    assert model.converged_ and label_agreement(model.transform(data), label).nmi == pytest.approx(
        1
    )
    assert (model.components_ < 0).any()
    fresh, truth = signed(seed=0, n=120)
    assert label_agreement(model.transform(fresh), truth).nmi > 0.99


def test_tuning_pays_and_is_reported():
    data = signed()[0]
    with pytest.warns(ConvergenceWarning, match="max_iter=0"):
        start = DeepSemiNMF(RANKS, max_iter=0, random_state=0).fit(data)
    model = DeepSemiNMF(RANKS, random_state=0).fit(data)
    assert start.stop_reason_ == "max_iter" and not start.converged_ and start.n_iter_ == 1
    assert (
        model.stop_reason_ == "stationary"
        and model.converged_
        and model.history_["stationarity"][-1] <= 1e-4
    )
    assert (
        model.n_iter_ == len(model.history_["objective"])
        and len(model.history_["pretraining"]) == 3
    )
    for values in (model.history_["objective"], *model.history_["pretraining"]):
        assert max(np.diff(values), default=0) <= 1e-12
    assert model.layers_[-1].error <= start.layers_[-1].error + 1e-3


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"solver": "hals"}, "solver"),
        ({"ridge": -1}, "ridge"),
        ({"ridge": np.inf}, "ridge"),
        ({"tol": "x"}, "tol"),
        ({"ranks": ()}, "ranks"),
    ]
    + [({"max_iter": -1}, "max_iter"), ({"pretrain_iter": 1.5}, "pretrain_iter")],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        DeepSemiNMF(**params).fit(signed()[0])


def test_bad_data():
    data = signed()[0]
    model = DeepSemiNMF(2, random_state=0).fit(data)
    holes = data.copy()
    holes[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"\[3, 1\]"):
        model.fit(holes)
    with pytest.raises(ValueError, match="layer"):
        model.transform(data, layer=1)
    with pytest.raises(ValueError, match="columns"):
        model.inverse_transform(np.ones((3, 5)))
    with pytest.raises(ValueError, match="features"):
        model.transform(data[:, 1:])


def test_other_namespaces(xp_device):
    data = signed()[0]
    X = xp_device.asarray(data)
    model = quiet(DeepSemiNMF((4, 2), pretrain_iter=5, max_iter=5, random_state=0), X)
    H = model.transform(X)
    assert H.dtype == xp_device.dtype and to_numpy(H).min() >= 0
    host = quiet(DeepSemiNMF((4, 2), pretrain_iter=5, max_iter=5, random_state=0), data)
    assert model.reconstruction_err_ == pytest.approx(host.reconstruction_err_, rel=1e-3)
    Z, H = [xp_device.asarray(z) for z in factors()[0]], xp_device.asarray(factors()[1])
    for solver in SOLVERS:
        new, value, _ = step_H(as_data(X.T), Z, H, 0.1, solver)
        assert value == pytest.approx(semi_objective(as_data(X.T), product(Z), new, 0.1), rel=1e-4)
    assert relative_error(as_data(X.T), product(Z), new) >= 0


# --- labels, callbacks ----------------------------------------------------------------------------


def graph_of(y, like):
    return ClassGraph(read_labels(y, len(y)), like)


def partly(label, every=3):
    return np.where(np.arange(len(label)) % every == 0, label, -1)


@pytest.mark.parametrize("kind", ["classes", "shares"])
def test_graph_is_its_laplacian(kind):
    rng, label = np.random.default_rng(0), partly(signed()[1])
    if kind == "classes":
        Y = np.stack([label == c for c in np.unique(label[label >= 0])]).astype(float)
        graph = graph_of(label, np.zeros(1))
    else:
        Y = rng.random((3, 60)) * (rng.random(60) < 0.5)
        graph = ClassGraph(read_labels(Y.T, 60), np.zeros(1))
    W = Y.T @ np.diag(1 / Y.sum(axis=1)) @ Y
    L, H = np.diag(W.sum(axis=1)) - W, rng.random((4, 60))
    np.testing.assert_allclose(graph.neighbors(H), H @ W)
    np.testing.assert_allclose(graph.degree[0], W.sum(axis=1))
    np.testing.assert_allclose(graph.scatter(H), np.diag(H @ L @ H.T))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("lam", [0.1, 10.0])
@pytest.mark.parametrize("depths", [(2,), (0, 2), (0, 1)])
def test_no_turn_with_graphs_raises_the_objective(depths, lam, solver):
    data, label = signed()
    X = as_data(data.T)
    terms = SemiTerms(1e-2, solver, lam, {d: graph_of(partly(label, 2 + d), data) for d in depths})
    Z, H = factors()
    size, rows = X.norm2**0.5, np.random.default_rng(0)
    H = {d: H if d == 2 else rows.random((RANKS[d], 60)) for d in sorted({*depths, 2})}

    def objective(Z, H):
        return sum(
            semi_objective(X, product(Z[: d + 1]), h, 1e-2 * size, terms.graphs.get(d), lam * size)
            for d, h in H.items()
        )

    before = objective(Z, H)
    for _ in range(30):
        Z, H, after, far = semi_iteration(X, Z, H, terms)
        assert all(h.min() >= 0 for h in H.values()) and after <= before + 1e-12 and far >= 0
        before = after
    assert after == pytest.approx(objective(Z, H), rel=1e-9)


def test_step_H_with_a_graph_ends_at_an_optimum():
    data, label = signed()
    X, (Z, H), graph = as_data(data.T), factors(), graph_of(partly(label), data)
    for solver in SOLVERS:
        for _ in range(600):
            H, _, far = step_H(X, Z, H, 0.1, solver, graph, 2.0)
        assert far < 1e-5
        gradient = lambda h: (
            (product(Z).T @ product(Z) + 0.1 * np.eye(2)) @ h
            - X.AtX(product(Z))
            + 2.0 * (graph.degree * h - graph.neighbors(h))
        )  # noqa: E731
        rng, half = np.random.default_rng(0), X.norm2 / 2
        D = rng.standard_normal(H.shape)
        value = lambda h, half=half: half * semi_objective(X, product(Z), h, 0.1, graph, 2.0)  # noqa: E731
        assert (value(H + 1e-5 * D) - value(H - 1e-5 * D)) / 2e-5 == pytest.approx(
            np.sum(gradient(H) * D), rel=1e-4, abs=1e-6
        )
        assert gradient(H).min() > -1e-3 and np.abs(gradient(H) * H).max() < 1e-3


def test_balancing_with_a_graph_is_the_cheapest():
    data, label = signed()
    (Z, H), graph = factors(), graph_of(partly(label), data)
    price = lambda Z, H: np.sum(product(Z) ** 2) + np.sum(H**2) + 7 * graph.scatter(H).sum()  # noqa: E731
    z, h = balanced(Z, {2: H}, {2: graph}, 7.0)
    np.testing.assert_allclose(product(z) @ h[2], product(Z) @ H)
    for t in (0.99, 1.01):
        assert price([*z[:-1], z[-1] * t], h[2] / t) > price(z, h[2])


@pytest.mark.parametrize("solver", SOLVERS)
def test_labels_gather_their_classes(solver):
    data, label = signed(n=120)
    data = data + 1.5 * np.random.default_rng(1).standard_normal(data.shape)
    pair = label // 3
    share = {}
    for lam in (0.0, 10.0):
        model = quiet_y(
            DeepSemiNMF((6, 3), solver=solver, lam=lam, max_iter=300, random_state=0),
            data,
            partly(pair, 2),
        )
        H = model.transform(data)
        assert (H == model.layers_[-1].H.T).all()
        share[lam] = (
            sum(((H[pair == c] - H[pair == c].mean(axis=0)) ** 2).sum() for c in (0, 1))
            / ((H - H.mean(axis=0)) ** 2).sum()
        )
    assert share[10.0] < share[0.0]


def quiet_y(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def test_no_known_label_changes_nothing_and_labels_do_at_every_layer():
    data, label = signed()
    fit = lambda y, **params: (
        quiet_y(DeepSemiNMF((6, 3), max_iter=30, random_state=0, **params), data, y).components_
    )  # noqa: E731
    plain, known = fit(None), partly(label)
    for y in (np.full(60, -1), {0: np.full(60, -1)}):
        np.testing.assert_array_equal(fit(y), plain)
    np.testing.assert_array_equal(fit(known, lam=0), plain)
    found = [plain, fit(known), fit({0: known}), fit({0: known, 1: known}), fit(known, lam=20.0)]
    for i in range(5):
        for j in range(i):
            assert not np.allclose(found[i], found[j], atol=1e-4)


def test_scale_does_not_matter_with_labels():
    data, label = signed()
    one, other = (
        quiet_y(
            DeepSemiNMF((6, 3), max_iter=20, random_state=0),
            c * data,
            {0: partly(label), 1: partly(label)},
        )
        for c in (1, 1e-30)
    )
    np.testing.assert_allclose(
        [a.error for a in one.layers_], [a.error for a in other.layers_], rtol=1e-5
    )


def test_labels_that_do_not_fit():
    data, label = signed()
    for y, params, words in (
        ({2: label}, {}, "layer"),
        (label[1:], {}, "one label per"),
        (label, {"ridge": 0}, "ridge"),
        (label, {"lam": -1}, "lam"),
    ):
        with pytest.raises(ValueError, match=words):
            DeepSemiNMF((4, 2), **params).fit(data, y)


def test_callbacks_see_models_and_stop_the_fit():
    data, scores = signed()[0], []
    for patience in (3, 12):  # in the pretraining, in the tuning
        stopper = EarlyStopping(
            lambda model: scores.append(model.score(data)) or 0.0, patience=patience, tol=1.0
        )
        model = (
            DeepSemiNMF((6, 3), pretrain_iter=4, tol=0, random_state=0)
            .set_callbacks(stopper)
            .fit(data)
        )
        assert (
            model.stop_reason_ == "callback"
            and not model.converged_
            and len(stopper.scores) == patience + 1
        )
        assert model.transform(data).shape == (60, 3) and 0 < min(scores) <= max(scores) <= 1
    plain, watched = (
        quiet(DeepSemiNMF((6, 3), max_iter=20, random_state=0), data) for _ in range(2)
    )
    patient = EarlyStopping(lambda model: model.score(data), patience=1000)
    watched = quiet(DeepSemiNMF((6, 3), max_iter=20, random_state=0).set_callbacks(patient), data)
    np.testing.assert_array_equal(plain.components_, watched.components_)
    assert len(patient.scores) > 20


def test_score_is_the_explained_share():
    data = signed()[0]
    model = DeepSemiNMF((6, 3), random_state=0).fit(data)
    back = model.inverse_transform(model.transform(data))
    assert model.score(data) == pytest.approx(1 - np.sum((data - back) ** 2) / np.sum(data**2))
