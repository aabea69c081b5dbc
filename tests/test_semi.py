"""Deep Semi-NMF: exact steps of any rank, an objective that never rises, signed data of every kind, and the estimator's contract."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from nnmf_nb import DeepSemiNMF, datasets, semi
from nnmf_nb.backend import host_rng, to_numpy
from nnmf_nb.data import as_data, relative_error
from nnmf_nb.losses import svd_floors
from nnmf_nb.metrics import label_agreement
from nnmf_nb.nnls import kkt_residual, nnls
from nnmf_nb.semi import (
    balanced,
    inverse_in_rank,
    kmeans_start,
    multiplicative_H,
    pretrain_semi,
    product,
    semi_objective,
    semi_turn,
    step_H,
    step_Z,
    train_semi,
    with_unit_columns,
)

SOLVERS = ("nnls", "mu")
RANKS = (6, 4, 2)


def signed(n=60, m=12, seed=0, dtype=np.float64):
    """n points x m features around six signed centroids, the labels beside them."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 6
    return (2 * rng.standard_normal((6, m))[label] + 0.5 * rng.standard_normal((n, m))).astype(dtype), label


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


@parametrize_with_checks([DeepSemiNMF()], xfail_strict=True)
def test_scikit_learn_contract(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)


# --- steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [0.0, 0.3])
@pytest.mark.parametrize("l", range(3))
def test_step_Z_follows_the_derivative_to_the_minimum(l, mu):
    X = as_data(signed()[0].T)
    Z, H = factors()
    Q, K = X.XSt(H), H @ H.T + mu * np.eye(2)
    value = lambda z: X.norm2 * semi_objective(X, product([*Z[:l], z, *Z[l + 1 :]]), H, mu)  # noqa: E731
    new, C = step_Z(Q, K, Z, l, 1e-12)
    rng = np.random.default_rng(1)
    for _ in range(3):
        D = rng.standard_normal(Z[l].shape)
        assert (value(Z[l] + 1e-5 * D) - value(Z[l] - 1e-5 * D)) / 2e-5 == pytest.approx(-2 * np.sum(C * D), rel=1e-6)
        assert value(new[l] + 1e-3 * D) >= value(new[l]) - 1e-10  # quadratic: no direction goes further down
    _, C = step_Z(Q, K, new, l, 1e-12)
    assert np.abs(C).max() < 1e-8 * np.abs(Q).max()


@pytest.mark.parametrize("spoil", ["dead row of H", "twin rows of H", "twin columns of Z", "zero Z"])
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
    new, _ = step_Z(X.XSt(H), H @ H.T, Z, l, 1e-12)
    assert all(np.isfinite(z).all() for z in new)
    assert semi_objective(X, product(new), H) <= semi_objective(X, product(Z), H) + 1e-12
    assert np.abs(new[l]).max() < 1e4  # nothing is blown up along what cannot be resolved


def test_generalised_inverse():
    A = np.random.default_rng(0).standard_normal((9, 3)) @ np.random.default_rng(1).standard_normal((3, 5))
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
@pytest.mark.parametrize("kind", ["dense", "sparse", "centred"])
def test_no_turn_raises_the_objective(kind, ridge, solver):
    data = signed()[0]
    X = as_data({"dense": data, "centred": data - data.mean(axis=0), "sparse": sp.csr_array(data * (np.abs(data) > 1))}[kind].T)
    Z, H = factors()
    mu = ridge * X.norm2**0.5
    before = semi_objective(X, product(Z), H, mu)
    for _ in range(40):
        Z, H, after, far = semi_turn(X, Z, H, ridge, solver)
        assert H.min() >= 0 and after <= before + 1e-12 and far >= 0
        before = after
    assert after == pytest.approx(semi_objective(X, product(Z), H, mu), rel=1e-9)


def test_balancing_keeps_the_product_and_lowers_the_price():
    X = as_data(signed()[0].T)
    Z, H = factors()
    for change in (balanced, with_unit_columns):
        z, h = change(Z, H)
        np.testing.assert_allclose(product(z) @ h, product(Z) @ H)
        np.testing.assert_allclose(np.linalg.norm(z[0], axis=0), 1)
    z, h = balanced(Z, H)
    np.testing.assert_allclose(np.linalg.norm(product(z), axis=0), np.linalg.norm(h, axis=1))
    assert semi_objective(X, product(z), h, 1.0) < semi_objective(X, product(Z), H, 1.0)


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ridge", [1e-3, 1e-1])
def test_single_layer_ends_at_an_optimum(ridge):
    X = as_data(signed()[0].T)
    (fit,) = pretrain_semi(X, (4,), host_rng(0), ridge=ridge, max_iter=5000, tol=1e-8)
    assert fit.reason == "stationary"
    (Z,), H, mu = fit.Z, fit.H, ridge * X.norm2**0.5
    assert kkt_residual(Z, X.X / X.scale, H, l2=mu).max() < 1e-9
    normal = X.XSt(H) - Z @ (H @ H.T + mu * np.eye(4))
    assert np.abs(normal).max() < 1e-6 * np.abs(X.XSt(H)).max()
    gradient = (Z.T @ Z + mu * np.eye(4)) @ H - X.AtX(Z)
    assert gradient.min() > -1e-8 and np.abs(gradient[H > 0]).max() < 1e-8


def test_depth_ends_where_one_layer_does():
    X = as_data(signed()[0].T)
    below = pretrain_semi(X, RANKS, host_rng(0))
    deep = train_semi(X, [fit.Z[0] for fit in below], below[-1].H, tol=1e-7)
    flat = train_semi(X, [product(deep.Z)], deep.H, tol=0, max_iter=50)
    assert deep.reason == "stationary" and deep.objective[-1] == pytest.approx(flat.objective[-1], rel=1e-9)


def test_nonnegative_data_reach_the_svd():
    """Whose best low-rank approximation has a positive right singular vector, loses nothing by H >= 0."""
    X = as_data(datasets.toy(random_state=0).X.T)
    (fit,) = pretrain_semi(X, (2,), host_rng(0), ridge=0, max_iter=3000, tol=1e-8)
    assert fit.objective[-1] ** 0.5 == pytest.approx(svd_floors(X, (2,))[0], rel=1e-4)


def test_ridge_keeps_factors_small_where_nothing_else_does():
    data = signed(n=80)[0]
    X = as_data((data - data.mean(axis=0)).T)
    size = {}
    for ridge in (0, 1e-2):
        (fit,) = pretrain_semi(X, (5,), host_rng(0), ridge=ridge, max_iter=300)
        size[ridge] = np.linalg.norm(with_unit_columns(fit.Z, fit.H)[1])
    assert size[0] > 10 * size[1e-2] and size[1e-2] < 10 * X.norm2**0.5


def test_training_keeps_everything_on_interrupt():
    X = as_data(signed()[0].T)
    Z, H = factors()

    def impatient(n, value, far):
        if n == 3:
            raise KeyboardInterrupt

    fit = train_semi(X, Z, H, tol=0, callback=impatient)
    assert fit.reason == "interrupted" and len(fit.objective) == 4
    assert fit.objective[-1] == pytest.approx(semi_objective(X, product(fit.Z), fit.H, 1e-2 * X.norm2**0.5))


@pytest.mark.parametrize("stop", [2, 30, 9])
def test_interrupted_fit_is_a_fitted_model(monkeypatch, stop):
    turns = []

    def turn(*args):
        turns.append(0)
        if len(turns) == stop:
            raise KeyboardInterrupt
        return semi_turn(*args)

    monkeypatch.setattr(semi, "semi_turn", turn)
    data = signed()[0]
    model = DeepSemiNMF((4, 2), pretrain_iter=5, tol=0, random_state=0).fit(data)
    assert model.stop_reason_ == "interrupted" and not model.converged_
    assert model.transform(data).shape == (60, 2) and model.layers_[-1].error < 1


def test_start_knows_the_clusters():
    data, label = signed()
    H = kmeans_start(as_data(data.T), 6, host_rng(0))
    assert H.min() > 0 and label_agreement(H.T, label).nmi == pytest.approx(1)


# --- the estimator ----------------------------------------------------------------------------------------------------


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
    assert H.dtype == X.dtype == model.components_.dtype and (to_numpy(model.layers_[-1].H) == H.T).all() and H.min() >= 0
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
        assert np.linalg.norm(data - model.inverse_transform(H, layer=l)) / np.linalg.norm(data) == pytest.approx(layer.error)
        np.testing.assert_allclose(H.T, nnls(product([one.Z for one in model.layers_[: l + 1]]), data.T), atol=1e-9)
    np.testing.assert_allclose(
        model.transform(data[:1]), model.transform(data)[:1], atol=1e-12
    )  # a data point does not depend on its neighbours


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e30])
@pytest.mark.parametrize("solver", SOLVERS)
def test_scale_does_not_matter(scale, solver):
    data = signed()[0]
    one, other = (quiet(DeepSemiNMF(RANKS, solver=solver, max_iter=50, random_state=0), c * data) for c in (1, scale))
    np.testing.assert_allclose([a.error for a in one.layers_], [a.error for a in other.layers_], rtol=1e-5)
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
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = DeepSemiNMF((5, 3), solver=solver, max_iter=50, random_state=0).fit(X)
        H = model.transform(X)
    assert np.isfinite(H).all() and H.min() >= 0 and np.isfinite(model.components_).all() and np.isfinite(model.reconstruction_err_)
    assert all(np.isfinite(values).all() for values in (model.history_["objective"], model.history_["stationarity"]))
    assert model.layers_[-1].error <= 1 + 1e-12


def test_learns_signed_clusters():
    data, label = signed()
    model = DeepSemiNMF(6, random_state=0).fit(data)
    assert model.converged_ and label_agreement(model.transform(data), label).nmi == pytest.approx(1)
    assert (model.components_ < 0).any()
    fresh, truth = signed(seed=0, n=120)
    assert label_agreement(model.transform(fresh), truth).nmi > 0.99


@pytest.mark.parametrize(
    "change",
    [{"ranks": (6, 3)}, {"solver": "mu"}, {"ridge": 0.1}, {"pretrain_iter": 1}, {"max_iter": 1}, {"tol": 1e-2}, {"random_state": 1}],
)
def test_every_parameter_has_an_effect(change):
    X = np.random.default_rng(0).standard_normal((60, 12))
    base = {"ranks": (6, 4), "random_state": 0, "pretrain_iter": 10}
    one, other = (quiet(DeepSemiNMF(**params), X) for params in (base, base | change))
    assert one.components_.shape != other.components_.shape or not np.allclose(one.components_, other.components_, atol=1e-6)


def test_verbose_and_device(capsys):
    data = signed()[0]
    quiet(DeepSemiNMF(2, max_iter=2, verbose=1, random_state=0), data)
    assert "DeepSemiNMF" in capsys.readouterr().err
    quiet(DeepSemiNMF(2, max_iter=2, random_state=0, device="cpu"), data)
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError, match="device"):
        DeepSemiNMF(2, device="tpu").fit(data)


def test_tuning_pays_and_is_reported():
    data = signed()[0]
    with pytest.warns(ConvergenceWarning, match="max_iter=0"):
        start = DeepSemiNMF(RANKS, max_iter=0, random_state=0).fit(data)
    model = DeepSemiNMF(RANKS, random_state=0).fit(data)
    assert start.stop_reason_ == "max_iter" and not start.converged_ and start.n_iter_ == 1
    assert model.stop_reason_ == "stationary" and model.converged_ and model.history_["stationarity"][-1] <= 1e-4
    assert model.n_iter_ == len(model.history_["objective"]) and len(model.history_["pretraining"]) == 3
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
