"""Y: masked data through a hierarchy: penalty on coefficients, starts, certificate, predictions.
Z: what SSNMF keeps of the coefficients that data and labels share.
"""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from zoo import MASKED, fit, planted, same

from nnmf_nb import NMF, SSNMF, DeepNMF, HierarchicalNMF, NeuralNMF, load, save, verify
from nnmf_nb.chain._costs import COSTS, ChainObjective
from nnmf_nb.core._data import (
    CENTERING,
    UNKNOWN_PENALTY,
    as_data,
    unknown_penalty,
    with_coefficient_penalty,
)
from nnmf_nb.core._linalg import unit_columns
from nnmf_nb.evaluation.metrics import errors_per_depth
from nnmf_nb.models._deep import Terms, deep_energy, parts_A, parts_S
from nnmf_nb.solvers.gradient import CONVERGED
from nnmf_nb.solvers.initialization import random_start, svd_start

LAYERED = dict(HierarchicalNMF=HierarchicalNMF, NeuralNMF=NeuralNMF, DeepNMF=DeepNMF)


def ratings(seed, shape=(150, 200), share=0.1):
    """Ratings from 1 to 5 of 150 users with three factors, 10 % known, popular items more often."""
    rng = np.random.default_rng(seed)
    taste = rng.gamma(2, size=(shape[0], 3)) @ rng.gamma(2, size=(3, shape[1]))
    popularity = np.linspace(0.2, 1.8, shape[1])
    known = rng.random(shape) < share * popularity
    return np.clip(np.round(5 * taste / taste.max()), 1, 5), known


def fitted(kind, X, ranks=(5, 2), **given):
    parameters = {name: given.pop(name) for name in ("alpha_W", "max_iter") if name in given}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LAYERED[kind](ranks, random_state=0, **parameters).fit(X, **given)


def missed(model, X, known):
    """Root mean square error of the predictions for unknown entries, and the largest prediction."""
    predicted = model.inverse_transform(model.transform(X, mask=known))
    return np.sqrt(np.mean((predicted - X)[~known] ** 2)), predicted.max()


@pytest.mark.parametrize("seed", [136, pytest.param(0, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("kind", LAYERED)
def test_predictions_stay_in_the_range_of_the_ratings(kind, seed):
    """Y: no prediction above 1.2 times the largest rating; flat NMF predicts worse."""
    X, known = ratings(seed)
    model = fitted(kind, np.where(known, X, np.nan), mask=known, max_iter=200)
    error, largest = missed(model, X, known)
    assert largest <= 1.2 * X[known].max()
    assert error < 0.3
    assert error < missed(NMF(2, random_state=0).fit(X, mask=known), X, known)[0]
    assert max(one.kkt for one in model.layers_) < 1e-10
    reasons = verify(model, X, mask=known).reasons
    assert not any("explode" in reason for reason in reasons)


def test_lbfgs_does_not_stall_on_ratings():
    """Y: training of NeuralNMF ends where it is stationary."""
    X, known = ratings(1)
    model = NeuralNMF((5, 2), random_state=0, tol=1e-3).fit(X, mask=known)
    assert model.stop_reason_ in CONVERGED
    assert max(model.history_["stationarity"]) < 10
    assert not any("stationary" in reason for reason in model.certificate_.reasons)


def test_the_certificate_names_exploding_coefficients():
    """Y: predictions far above all known entries are a reason of their own."""
    X, known = ratings(0)
    model = fitted("HierarchicalNMF", X, mask=known, alpha_W=0.0)
    worst = missed(model, X, known)[1] / X[known].max()
    reasons = [reason for reason in verify(model, X, mask=known).reasons if "explode" in reason]
    assert worst > 30 and len(reasons) == 2
    assert (
        f"{model.certificate_.layers[1].predicted:.2g} times the largest known entry" in reasons[1]
    )
    assert np.isclose(model.certificate_.layers[1].predicted, worst)
    assert verify(model, X).layers[0].exploded == 0  # nothing is unknown


@pytest.mark.parametrize("name", MASKED)
def test_a_mask_without_unknown_entries_is_no_mask(name):
    """Y: a mask that knows everything gives the bits of no mask."""
    X = planted()
    assert same(fit(name, X, extra=dict(mask=np.ones(X.shape, bool))), fit(name, X))


def test_the_default_penalty_is_proportional_to_the_unknown_share():
    """Y: 0 where all is known, relative to the weights of a data point, the same in any batch."""
    X, rng = planted().T, np.random.default_rng(0)
    W = (rng.random(X.shape) < 0.5) * np.linspace(1, 5, X.shape[1])
    W[:, 0] = 1.0
    l2 = with_coefficient_penalty(as_data(X, weights=W), "auto", 0.1).l2
    expected = 0.1 * (W == 0).mean(axis=0) * np.linspace(1, 5, X.shape[1])
    assert np.allclose(l2, expected) and l2[0] == 0 and l2[1:].min() > 0
    assert with_coefficient_penalty(as_data(X, weights=1 + W)).l2 == 0
    ridge = with_coefficient_penalty(as_data(X, weights=W), 0.3)
    assert np.allclose(ridge.l2[1:], 0.3 * W.max(axis=0)[1:]) and ridge.centering == 0


def test_the_default_penalty_is_chosen_by_what_one_topic_leaves():
    """Y: strong for ratings, weak for distinct topics, the same for any unit and weight; transform
    uses what fit has chosen.
    """
    X, known = ratings(0)
    strength = unknown_penalty(as_data(X.T, mask=known.T))
    assert strength > 0.1
    scaled = as_data(1e-9 * X.T, weights=7.0 * known.T)
    assert np.isclose(unknown_penalty(scaled), strength)
    topics = np.kron(np.eye(4), np.ones((15, 10)))
    half = np.random.default_rng(0).random(topics.shape) < 0.5
    assert unknown_penalty(as_data(topics, mask=half)) == 0.02
    assert unknown_penalty(as_data(topics)) == UNKNOWN_PENALTY
    assert unknown_penalty(as_data(np.ones((4, 5)), mask=np.eye(4, 5) == 0)) == 0.3
    model = NeuralNMF((4, 2), random_state=0, max_iter=5, tol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, mask=known)
    assert model.criteria_.unknown_penalty == strength
    one = np.zeros((1, X.shape[1]), bool)
    one[0, :30] = True
    alone = model.transform(X[:1], layer=0, mask=one)[0]
    A = model.layers_[0].A
    G = A[:30].T @ A[:30] + strength * (1 - 30 / X.shape[1]) * (np.eye(4) - CENTERING / 4)
    assert abs(np.minimum(alone, G @ alone - A[:30].T @ X[0, :30])).max() < 1e-9 * X.max()


@pytest.mark.parametrize("kind", LAYERED)
def test_transform_has_the_penalty_of_fit(kind):
    """Y: transform, score, metrics and the layers agree; a data point does not see the others."""
    X, rng = planted(30, 20), np.random.default_rng(1)
    known = rng.random(X.shape) < 0.6
    model = fitted(kind, X, (3, 2), mask=known)
    for layer in range(2):
        S = model.transform(X, layer=layer, mask=known)
        assert np.array_equal(S, model.layers_[layer].S.T)
        alone = model.transform(X[4:5], layer=layer, mask=known[4:5])
        assert np.allclose(alone, S[4:5], rtol=1e-10)
    A, w = model.layers_[0].A, known[4]
    s, l2 = model.layers_[0].S[:, 4], model.criteria_.unknown_penalty * (1 - w.mean())
    gradient = A.T @ (w * (A @ s - X[4])) + l2 * (s - CENTERING * s.mean())
    assert abs(np.minimum(s, gradient)).max() < 1e-10 and l2 * s.max() > 1e-6
    errors = errors_per_depth(model, X, mask=known)
    assert np.allclose(errors, [one.error for one in model.layers_])
    assert np.isclose(model.score(X, mask=known), 1 - errors[-1] ** 2)


@pytest.mark.parametrize("kind", LAYERED)
def test_a_penalty_for_complete_data(kind, tmp_path):
    """Y: alpha_W as a number holds without a mask, for sparse data and in files."""
    X = planted(30, 20)
    free, model = (fitted(kind, X, (3, 2), alpha_W=alpha) for alpha in (0.0, 0.2))
    assert same(free, fitted(kind, X, (3, 2)))
    A, S = model.layers_[0].A, model.layers_[0].S
    gradient = A.T @ (A @ S - X.T) + 0.2 * S
    assert abs(np.minimum(S, gradient)).max() < 1e-9 * X.max()
    assert model.layers_[0].error > free.layers_[0].error
    assert not any("S is not the best" in reason for reason in model.certificate_.reasons)
    save(model, tmp_path / "model.safetensors")
    assert np.array_equal(load(tmp_path / "model.safetensors").transform(X), model.transform(X))
    for bad in (-1, np.inf, "some", None, True):
        with pytest.raises(ValueError, match="alpha_W must be 'auto' or a finite number >= 0"):
            fitted(kind, X, alpha_W=bad)


def penalized_data():
    """Masked and weighted data with a penalty, and a chain with unit columns for them."""
    rng = np.random.default_rng(3)
    X, W = rng.random((12, 15)), (rng.random((12, 15)) < 0.6) * rng.uniform(0.5, 2, (12, 15))
    data = as_data(X, weights=W)
    A = [unit_columns(rng.random(shape)) for shape in ((12, 5), (5, 3), (3, 2))]
    return with_coefficient_penalty(data, "auto", 0.3), A, rng


def slope(value, at, direction, h=1e-6):
    return (value(at + h * direction) - value(at - h * direction)) / (2 * h)


@pytest.mark.parametrize("cost", COSTS)
def test_gradient_of_a_penalized_chain(cost):
    """Y: backpropagation through penalized layers agrees with central differences."""
    data, A, rng = penalized_data()
    objective = ChainObjective(data, COSTS[cost])
    gradients = objective(A)[1]
    for l in range(3):
        direction = rng.standard_normal(A[l].shape)
        found = slope(lambda a, l=l: objective([*A[:l], a, *A[l + 1 :]])[0], A[l], direction)
        assert np.isclose(found, (gradients[l] * direction).sum(), rtol=1e-5, atol=1e-8)


def test_the_certificate_knows_the_gradient_of_a_penalized_chain():
    """Y: judge and training, which share no code, find the same stationarity."""
    X, known = planted(40, 20), np.random.default_rng(2).random((40, 20)) < 0.6
    model = NeuralNMF((4, 2), random_state=0, max_iter=3, tol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, mask=known)
    judged = [one.stationarity for one in verify(model, X, mask=known).layers]
    told = model.history_["stationarity"][-1]
    assert told > 1e-4 and np.isclose(np.hypot(*judged), told, rtol=1e-5)
    assert "l2 penalty" in verify(model, X, mask=known).criteria.words


def test_gradient_of_the_penalized_energy():
    """Y: the same for the energy of DeepNMF, by every A and every S."""
    data, A, rng = penalized_data()
    S = [rng.random((k, 15)) for k in (5, 3, 2)]
    terms = Terms(coupling=0.3)
    for l in range(3):
        for factors, parts, weight in ((A, parts_A, terms.weight(l)), (S, parts_S, 1.0)):

            def energy(F, factors=factors, l=l):
                moved = [*factors[:l], F, *factors[l + 1 :]]
                return deep_energy(
                    data, moved if factors is A else A, moved if factors is S else S, terms
                )

            plus, minus = parts(data, A, S, l, terms)
            direction = rng.standard_normal(factors[l].shape)
            exact = 2 * weight / data.norm2 * ((plus(factors[l]) - minus) * direction).sum()
            assert np.isclose(slope(energy, factors[l], direction), exact, rtol=1e-6)


@pytest.mark.parametrize("alpha_W", ("auto", 0.3))
def test_no_iteration_raises_the_penalized_objective(alpha_W):
    """Y: alternating steps descend on squared error plus penalty, for any unit of the weights."""
    X, known = ratings(3, (40, 50), 0.3)
    model = fitted("HierarchicalNMF", X, (4, 2), mask=known, alpha_W=alpha_W)
    assert (np.diff(model.history_["errors"][0]) < 1e-12).all()
    other = fitted("HierarchicalNMF", X, (4, 2), weights=8.0 * known, alpha_W=alpha_W)
    assert np.allclose(other.components_, model.components_, rtol=1e-6, atol=1e-9)
    scaled = fitted("HierarchicalNMF", X * 1e-30, (4, 2), mask=known, alpha_W=alpha_W)
    assert np.allclose(scaled.components_, model.components_, rtol=1e-6, atol=1e-9)
    deep = fitted("DeepNMF", X, (4, 2), mask=known, alpha_W=alpha_W, max_iter=50)
    assert (np.diff(deep.history_["objective"]) < 1e-12).all()
    weighted = [
        NeuralNMF((4, 2), depth_weights=(c, 2 * c), alpha_W=alpha_W, random_state=0).fit(
            X, mask=known
        )
        for c in (1, 4)
    ]
    assert np.allclose(weighted[0].layers_[0].error, weighted[1].layers_[0].error, rtol=1e-3)


def test_starts_come_from_known_entries():
    """Y: a start does not take what is unknown for zero."""
    rng = np.random.default_rng(0)
    full = np.outer(rng.gamma(2, size=40), rng.gamma(2, size=60)) + 0.01
    known = rng.random(full.shape) < 0.3
    data = as_data(full, mask=known)
    A, S = svd_start(data, 1)
    error = np.linalg.norm(A @ S * data.scale - full) / np.linalg.norm(full)
    assert error < 0.3
    A, S = random_start(data, 3, rng)
    size = np.linalg.norm(A @ S) * data.scale / np.linalg.norm(full)
    assert 0.6 < size < 1.7


def half_labeled():
    """Noisy data, and classes of every second data point."""
    X = planted(60, 20, 3, seed=1, noise=1.0)
    return X, np.where(np.arange(60) % 2, np.arange(60) % 3, -1)


def quiet(model, *args, **given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **given)


PAIRS = [("frobenius", "frobenius", s) for s in ("hals", "anls", "mu")] + [
    ("frobenius", "kullback-leibler", "mu"),
    ("kullback-leibler", "frobenius", "mu"),
    ("kullback-leibler", "kullback-leibler", "mu"),
]


@pytest.mark.parametrize("loss, label_loss, solver", PAIRS)
def test_the_joint_factors_have_the_objective_that_was_trained(loss, label_loss, solver):
    """Z: joint_ holds the A, B and S that were optimized together; layers_ do not."""
    X, y = half_labeled()
    X = 1e-3 * X
    model = SSNMF(
        3, beta_loss=loss, label_loss=label_loss, solver=solver, lam=2.0, max_iter=60, tol=0
    )
    quiet(model, X, y)
    A, B, S = model.joint_
    known, Y = y >= 0, np.eye(3)[y[y >= 0]].T

    def distance(T, M, kind):
        if kind == "frobenius":
            return ((T - M) ** 2).sum() / (T**2).sum()
        logs = np.where(T > 0, T * np.log(np.where(T > 0, T, 1.0) / np.maximum(M, 1e-300)), 0.0)
        return (logs - T + M).sum() / T.sum()

    def objective(A, B, S):
        return distance(X.T, A @ S, loss) + 2.0 * distance(Y, (B @ S)[:, known], label_loss)

    assert np.isclose(objective(A, B, S), model.history_["objective"][-1], rtol=1e-8)
    assert objective(model.layers_[0].A, model.B_, model.layers_[0].S) > objective(A, B, S)
    assert np.allclose(A, model.layers_[0].A, rtol=1e-12)  # topics in the same order
    assert np.allclose(np.linalg.norm(A, axis=0), 1)


def test_the_joint_factors_recover_noisy_data():
    """Z: ssnmf's synthetic experiment (Poisson data and labels, 500 x 500, 5 topics, random start):
    its published mean error relative to the start is 0.01303; one draw here is near it.
    """
    rng, n, r = np.random.default_rng(7), 500, 5
    S = rng.random((r, n)) * (rng.random((r, n)) < 0.5)
    A, B = rng.random((n, r)), rng.random((n, r)) * (rng.random((n, r)) < 0.5)
    true = A @ S, B @ S
    X, Y = (rng.poisson(mean).astype(float) for mean in true)
    start = rng.random((n, r)), rng.random((n, r)), rng.random((r, n))

    def error(A, B, S):
        pairs = zip(true, (A @ S, B @ S), strict=True)
        pairs = [(T, np.maximum(M, 1e-14)) for T, M in pairs]
        return sum(
            (np.where(T > 0, T * np.log(np.where(T > 0, T, 1) / M), 0) - T + M).sum()
            for T, M in pairs
        )

    model = SSNMF(
        r,
        beta_loss="kullback-leibler",
        label_loss="kullback-leibler",
        lam=Y.sum() / X.sum(),  # an absolute weight of 1
        init="custom",
        max_iter=100,
        tol=0,
    )
    quiet(model, X.T, Y.T, W=start[2].T, H=start[0].T, B=start[1])
    assert error(*model.joint_) / error(*start) < 1.2 * 0.01303
    mixed = error(model.layers_[0].A, model.B_, model.layers_[0].S)
    assert mixed > 1.3 * error(*model.joint_)


def test_a_custom_start_goes_on_from_joint_factors():
    """Z: twenty iterations and twenty more are forty; wrong starts are refused with words."""
    X, y = half_labeled()
    options = dict(solver="mu", tol=0, random_state=0)
    whole, half = (quiet(SSNMF(3, max_iter=n, **options), X, y) for n in (40, 20))
    A, B, S = half.joint_
    rest = SSNMF(max_iter=20, init="custom", **options)
    quiet(rest, X, y, W=S.T, H=A.T, B=B)
    assert rest.joint_.A.shape == (20, 3)
    assert np.isclose(rest.history_["objective"][-1], whole.history_["objective"][-1], rtol=1e-9)
    assert np.allclose(rest.joint_.B, whole.joint_.B, rtol=1e-6)
    cases = [
        (dict(W=S.T, H=A.T, B=B[:2]), r"B must have shape \(3, 3\)"),
        (dict(W=S.T, H=A.T, B=-B - 1), "B must be finite and >= 0"),
        (dict(W=S.T), "needs both W"),
    ]
    for given, message in cases:
        with pytest.raises(ValueError, match=message):
            rest.fit(X, y, **given)
    with pytest.raises(ValueError, match="B is part of the start of init='custom'"):
        SSNMF(3).fit(X, y, B=B)
    with pytest.raises(ValueError, match="there are no labels"):
        rest.fit(X, W=S.T, H=A.T, B=B)


def test_joint_factors_in_files_and_without_labels(tmp_path):
    """Z: a file keeps them; a fit without labels has none, also after one with labels."""
    X, y = half_labeled()
    model = quiet(SSNMF(3, max_iter=20, random_state=0), X, y)
    save(model, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    assert all(np.array_equal(*pair) for pair in zip(loaded.joint_, model.joint_, strict=True))
    assert quiet(model, X).joint_ is None
