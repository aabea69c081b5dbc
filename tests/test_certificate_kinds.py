"""Certificates, kind by kind: every parameter of every model is judged as it was in the fit, the
tol of the fit decides, no scale matters, and no data point hides the others.
"""

import warnings
from dataclasses import fields

import numpy as np
import pytest
import scipy.sparse as sp
import zoo
from sklearn.exceptions import ConvergenceWarning
from test_parameters import EFFECTS, LABELS, X, sources

import nnmf_nb
from nnmf_nb import NMF, HierarchicalNMF, NeuralNCPD, NeuralNMF, certify, load, save, verify
from nnmf_nb.evaluation._certificates import Certificate, Criteria, LayerCertificate, is_plausible
from nnmf_nb.models._base import EarlyStopping
from nnmf_nb.solvers.stationarity import convergence_limit

# What a parameter does to the objective. JUDGED: the certificate judges by the new objective.
# OPEN: with it something cannot be judged, and the certificate says so. SEARCH: the objective stays
# the same, only how it is minimized, shown or stopped changes.
JUDGED, OPEN, SEARCH = "judged", "open", "search"

COMMON = dict(max_iter=SEARCH, tol=SEARCH, verbose=SEARCH, device=SEARCH)
ONE = COMMON | dict(n_components=SEARCH, init=SEARCH, n_init=SEARCH, random_state=SEARCH)
CHAIN = COMMON | dict(ranks=SEARCH, random_state=SEARCH, lam=OPEN)
STARTS = dict(init=SEARCH, n_init=SEARCH, n_init_upper=SEARCH, alpha_W=JUDGED)
OBJECTIVE = {
    "NMF": ONE
    | dict(
        solver=SEARCH,
        beta_loss=JUDGED,
        alpha_W=JUDGED,
        alpha_H=JUDGED,
        l1_ratio=JUDGED,
        fixed=JUDGED,
    ),
    "SSNMF": ONE | dict(solver=SEARCH, beta_loss=OPEN, label_loss=OPEN, lam=OPEN),
    "GuidedNMF": ONE | dict(lam=OPEN, seeds=OPEN, features=OPEN, handle_unknown=OPEN),
    "MiniBatchNMF": COMMON
    | dict(
        n_components=SEARCH,
        init=SEARCH,
        random_state=SEARCH,
        batch_size=SEARCH,
        forget_factor=SEARCH,
        beta_loss=JUDGED,
    ),
    "MiniBatchSSNMF": COMMON
    | dict(
        n_components=SEARCH,
        init=SEARCH,
        random_state=SEARCH,
        batch_size=SEARCH,
        forget_factor=SEARCH,
        lam=OPEN,
    ),
    "HierarchicalNMF": CHAIN | STARTS | dict(beta_loss=JUDGED),
    "DeepNMF": CHAIN
    | STARTS
    | dict(coupling=OPEN, pool_size=OPEN, pooling=OPEN, solver=SEARCH, pretrain_iter=SEARCH),
    "NeuralNMF": CHAIN
    | dict(
        init=SEARCH,
        n_init=SEARCH,
        alpha_W=JUDGED,
        beta_loss=JUDGED,
        cost=JUDGED,
        coefficients=JUDGED,
        depth_weights=JUDGED,
        label_loss=OPEN,
        optimizer=SEARCH,
        step=SEARCH,
        batch_size=SEARCH,
        warm_start=SEARCH,
        check_gradient=SEARCH,
    ),
    "DeepSemiNMF": CHAIN | dict(ridge=OPEN, solver=SEARCH, pretrain_iter=SEARCH),
    "NonlinearSemiNMF": COMMON
    | dict(ranks=SEARCH, random_state=SEARCH, activation=OPEN, ridge=OPEN, pretrain_iter=SEARCH),
    "UnfoldedNMF": COMMON
    | dict(
        n_components=SEARCH,
        n_layers=OPEN,
        beta=OPEN,
        cost_beta=OPEN,
        sparsity=OPEN,
        source_weights=OPEN,
        pretrain_iter=SEARCH,
    ),
    "SparseCodingNetwork": COMMON
    | dict(
        ranks=SEARCH, random_state=SEARCH, l1=JUDGED, l2=JUDGED, ridge=OPEN, pretrain_iter=SEARCH
    ),
    "NonnegativeCP": COMMON
    | dict(
        rank=SEARCH,
        beta_loss=JUDGED,
        init=SEARCH,
        n_init=SEARCH,
        fixed=JUDGED,
        random_state=SEARCH,
    ),
    "NeuralNCPD": {name: way for name, way in COMMON.items() if name != "device"}
    | dict(
        ranks=SEARCH,
        hierarchy=JUDGED,
        depth_weights=JUDGED,
        frozen=JUDGED,
        lam=OPEN,
        label_loss=OPEN,
        n_init=SEARCH,
        n_init_upper=SEARCH,
        pretrain_iter=SEARCH,
        random_state=SEARCH,
        warm_start=SEARCH,
    ),
}
CASES = [(kind, name) for kind in OBJECTIVE for name in EFFECTS[kind][1]]
SMALL = np.random.default_rng(0).random((60, 25))
CUBE = np.random.default_rng(0).random((20, 8, 7))


def fitted(model, *data, **given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data, **given)


def same(one, other):
    """Whether two certificates have the same numbers, NaN included, and the same words."""
    if not hasattr(one, "layers"):  # of tensors
        np.testing.assert_equal(vars_of(one), vars_of(other))
        return repr(one) == repr(other)
    np.testing.assert_equal([vars(a) for a in one.layers], [vars(b) for b in other.layers])
    return one.criteria == other.criteria and one.reasons == other.reasons


def vars_of(certificate):
    return {one.name: getattr(certificate, one.name) for one in fields(certificate)}


def few_iterations(kind, other_than=""):
    """Parameters for a quick fit."""
    few = dict(max_iter=2, pretrain_iter=2)
    return {name: n for name, n in few.items() if name in OBJECTIVE[kind] and name != other_than}


def data_of(kind, given):
    """The data of a fit of test_parameters: X, and what fit gets besides."""
    if kind == "UnfoldedNMF":
        mixture, parts = sources()
        return mixture, dict(y=parts)
    return X[::3], {name: value[::3] for name, value in given.items()}


# --- S: the objective is that of the fit ----------------------------------------------------------


def test_every_parameter_of_every_model_is_classified():
    """S: a new model or parameter fails here until somebody says what it does to the objective."""
    assert sorted(OBJECTIVE) == sorted(EFFECTS)
    for kind, parameters in OBJECTIVE.items():
        assert sorted(parameters) == sorted(getattr(nnmf_nb, kind)().get_params()), kind
        assert set(parameters.values()) <= {JUDGED, OPEN, SEARCH}


@pytest.mark.each_value_once
@pytest.mark.parametrize("kind, name", CASES, ids=map("-".join, CASES))
def test_a_parameter_is_judged_as_it_was_in_the_fit(kind, name):
    """S: the record of a fit follows what the parameter does, and nothing that is set later changes
    the verdict.
    """
    base, changes = EFFECTS[kind]
    value, among, given = changes[name]
    base = base | among | few_iterations(kind, name)
    data, given = data_of(kind, given)
    model = fitted(getattr(nnmf_nb, kind)(**base), data, **given)
    before = verify(model, data)
    model.set_params(**{name: value})
    assert same(verify(model, data), before), "a change after the fit"
    other = fitted(getattr(nnmf_nb, kind)(**base | {name: value}), data, **given)
    if kind in zoo.TENSORS:
        assert_recorded(OBJECTIVE[kind][name], model, other)
        return
    one, two = (m.criteria_._replace(limit=0.0, unfinished="") for m in (model, other))
    if OBJECTIVE[kind][name] == OPEN:
        assert one.open or two.open
    elif OBJECTIVE[kind][name] == JUDGED:
        assert one != two and two.words
    elif kind != "SparseCodingNetwork":  # which learns its penalties
        assert one == two


def assert_recorded(way, model, other):
    """The same of models of tensors, whose record holds what was minimized."""
    one, two = model.criteria_, other.criteria_
    if way == OPEN:
        assert one.labels and two.labels
        assert np.isnan(other.certificate_.stationarity)
        assert "labels were a part" in repr(other.certificate_)
    else:
        assert (one != two) == (way == JUDGED)


BY_ITS_OWN = [
    (NMF(3), dict(alpha_W=0.003)),
    (NMF(3, alpha_W=0.003), dict(alpha_H=0.02)),
    (NMF(3, alpha_W=0.003), dict(l1_ratio=1.0)),
    (NMF(3), dict(fixed=SMALL[:1])),
    (NeuralNMF((6, 2)), dict(cost="last")),
    (NeuralNMF((6, 2)), dict(cost="energy")),
    (NeuralNMF((6, 2)), dict(depth_weights=(1, 0.01))),
    (NeuralNMF((6, 2)), dict(depth_weights=(0, 1))),
]


@pytest.mark.parametrize("model, change", BY_ITS_OWN, ids=lambda v: str(v)[:40])
def test_a_finished_fit_is_green_by_its_own_objective_alone(model, change):
    """S: `depth_weights` were not read."""
    options = dict(random_state=0, max_iter=5000, tol=1e-5)
    plain = fitted(type(model)(**model.get_params() | options), SMALL)
    other = fitted(type(model)(**model.get_params() | options | change), SMALL)
    assert plain.converged_ and other.converged_
    assert verify(plain, SMALL).color == verify(other, SMALL).color == "green"
    other.criteria_ = plain.criteria_
    assert verify(other, SMALL).color != "green"


WEIGHTED = {
    "chain": (NeuralNMF((6, 2)), SMALL),
    "data": (NeuralNMF((6, 2), coefficients="data"), SMALL),
    "counts": (NeuralNMF((6, 2), beta_loss="kullback-leibler"), SMALL),
    "blocks": (NeuralNMF((6, 2)), nnmf_nb.blocks(SMALL, rows=25)),
    "modes": (NeuralNCPD((3, 2)), CUBE),
    "samples": (NeuralNCPD((3, 2), hierarchy="samples"), CUBE),
}


@pytest.mark.parametrize("factor", [64, pytest.param(1 / 64, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", WEIGHTED)
def test_a_multiple_of_all_depth_weights_is_the_same_objective(name, factor):
    """S: with small weights a fit that had not begun was stationary, and green; with large ones it
    went on where rounding let no step succeed, and was amber. A power of two changes no bit.
    """
    model, data = WEIGHTED[name]
    one, other = (
        fitted(
            type(model)(
                **model.get_params()
                | dict(depth_weights=(w, 0.5 * w), random_state=0, max_iter=60, tol=1e-3)
            ),
            data,
        )
        for w in (1, factor)
    )
    assert other.n_iter_ == one.n_iter_ > 2 and other.stop_reason_ == one.stop_reason_
    np.testing.assert_array_equal(other.history_["stationarity"], one.history_["stationarity"])
    np.testing.assert_array_equal(other.history_["errors"], one.history_["errors"])
    judged = [verify(model, data) for model in (one, other)]
    if name in ("modes", "samples"):
        assert judged[0].stationarity == judged[1].stationarity > 0
        return
    assert judged[0].color == judged[1].color
    per_layer = [[layer.stationarity for layer in found.layers] for found in judged]
    assert per_layer[0] == per_layer[1]


def test_a_fit_of_other_weights_that_was_not_begun_is_not_green():
    """S: the weights of the fit decide."""
    model = fitted(NeuralNMF((6, 2), depth_weights=(100, 100), random_state=0), SMALL)
    assert verify(model, SMALL).color == "green"
    model.set_params(depth_weights=(1, 0.01), warm_start=True, max_iter=0)
    fitted(model, SMALL)
    assert verify(model, SMALL).color != "green"


@pytest.mark.parametrize("kind", ["HierarchicalNMF", "NeuralNMF", "SSNMF", "GuidedNMF"])
def test_labels_and_seeds_of_no_weight_are_no_part_of_the_objective(kind):
    """S: with lam=0 a model minimizes what it minimizes without labels, and is judged so."""
    size = dict(n_components=3) if kind in ("SSNMF", "GuidedNMF") else dict(ranks=(3, 2))
    seeds = dict(seeds=[[0, 1]]) if kind == "GuidedNMF" else {}
    labels = {} if seeds else dict(y=np.arange(60) % 2)
    for lam in (0.0, 1.0):
        model = getattr(nnmf_nb, kind)(
            **size, **seeds, lam=lam, random_state=0, max_iter=5000, tol=1e-3
        )
        certificate = verify(fitted(model, SMALL, **labels), SMALL)
        assert certificate.criteria.judges_A == (lam == 0)
        colors = [color for _, color, _ in certificate.verdicts]
        assert ("gray" in colors) == (lam == 1) and (lam == 1 or colors == ["green"])


def test_a_change_in_the_middle_of_a_fit_is_recorded():
    """S: the objective is that of the end of the fit."""

    class Heavier(EarlyStopping):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            if context.task_name == "iteration" and not self.scores:
                estimator.change(depth_weights=(1.0, 0.01))
            return (
                super().on_fit_task_end(estimator, context, fitted_estimator=fitted_estimator)
                and False
            )

    watch = Heavier(lambda model: float(len(model.criteria_.depth_weights)))
    model = NeuralNMF((6, 2), random_state=0, max_iter=5000, tol=1e-5).set_callbacks(watch)
    fitted(model, SMALL)
    assert watch.scores[0] == 0 and watch.scores[-1] == 2
    assert model.criteria_.depth_weights == (1.0, 0.01) and model.certificate_.color == "green"
    assert verify(watch.best, SMALL).criteria.depth_weights == (1.0, 0.01)


def test_the_record_is_in_files_and_a_forged_one_is_not_believed(tmp_path):
    """S: a file keeps the objective of the fit; one that makes no sense is gray."""
    model = fitted(NMF(3, random_state=0), SMALL)
    save(model.set_params(alpha_W=5.0), tmp_path / "model")
    back = load(tmp_path / "model")
    assert back.criteria_ == model.criteria_ and verify(back, SMALL).color == "green"
    for forged in (
        Criteria(judges_A=False),
        Criteria(limit=np.inf),
        Criteria(on_S=((0.0,),)),
        Criteria(on_A=("a", 0.0)),
        Criteria(words=3),
        Criteria(judged_depths=(7,)),
        Criteria(judged_depths=5),
        Criteria(on_S=3),
        Criteria(depth_weights=(1.0, "a")),
        "green",
        None,
    ):
        assert not is_plausible(forged, 1)
        back.criteria_ = forged
        certificate = verify(back, SMALL)
        assert certificate.color == "gray" and "not known to minimize" in certificate.reasons[-1]


# --- S: the tol of the fit decides ----------------------------------------------------------------


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize(
    "model",
    [
        NMF(4),
        NMF(4, solver="hals"),
        HierarchicalNMF((5, 3)),
        NeuralNMF((5, 3), init="sequential", n_init=1),
    ],
    ids=str,
)
def test_warning_and_certificate_agree(model, tol):
    """S: a fit that warned is not green, one that did not is not called unfinished."""
    warned = set()
    for max_iter in (1, 20, 60, 5000):
        model = type(model)(**model.get_params() | dict(tol=tol, max_iter=max_iter, random_state=1))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(SMALL)
        said = any(issubclass(one.category, ConvergenceWarning) for one in caught)
        reasons = " ".join(model.certificate_.reasons)
        assert said == ("training stopped" in reasons)
        if said:
            assert model.certificate_.color != "green" and not model.converged_
        else:
            assert "not stationary" not in reasons and model.converged_
        warned.add(said)
    assert warned == {False, True}


@pytest.mark.parametrize("stationarity, limit, color", [(0.2, 1e-3, "red"), (0.2, 5.0, "amber")])
def test_a_fit_content_with_little_is_not_called_stationary(stationarity, limit, color):
    """S: the tol of the fit decides up to 0.1; beyond it nothing is stationary."""
    layer = LayerCertificate(2, error=0.1, floor=0.1, kkt=0.0, stationarity=stationarity, lowest=0)
    certificate = Certificate((layer,), Criteria(limit=limit))
    assert certificate.color == color and "not stationary" in certificate.reasons[0]


def test_the_limit_follows_tol_and_reason():
    """S: one rule for 'no progress', 'stalled' and the certificate."""
    assert convergence_limit(1e-4) == pytest.approx(1e-3) == Criteria().limit
    assert convergence_limit(1e-6) == pytest.approx(1e-5)
    assert convergence_limit(1e-6, "no progress") == pytest.approx(1e-3)


# --- S: no scale matters --------------------------------------------------------------------------

NUMBERS = ("error", "floor", "kkt", "stationarity", "complementarity", "condition", "degenerate")


def numbers(certificate):
    return [[getattr(layer, name) for name in NUMBERS] for layer in certificate.layers]


def planted(seed=0):
    rng = np.random.default_rng(seed)
    A, S = rng.random((12, 3)), rng.random((3, 40))
    return A, 1.01 * S, A @ S + 0.01 * rng.random((12, 40))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("scale", [2.0**e for e in (-1000, -565, -515, 515, 565, 1000)])
def test_the_judge_squares_no_scale(scale, kind):
    """S: overflow from 1e155, NaN from 1e-155."""
    A, S, X = planted()
    expected = numbers(certify(A, S, X))
    topics = np.array([1.0, scale, 1.0])
    for A_, S_, X_ in (
        (A, S * scale, X * scale),
        (A * scale, S / scale, X),
        (A * topics, S / topics[:, None], X),
        (A / scale, S * scale * 2.0**-20, X * 2.0**-20),
    ):
        np.testing.assert_allclose(numbers(certify(A_, S_, kind(X_))), expected, rtol=1e-9)


@pytest.mark.filterwarnings("error")
def test_the_judge_squares_no_scale_of_a_chain():
    """S: products of factors overflow or vanish before their coefficients put it right."""
    A, S, X = planted()
    upper, top = np.random.default_rng(1).random((3, 2)), np.random.default_rng(2).random((2, 40))
    low, high = 2.0**-560, 2.0**-400
    np.testing.assert_allclose(
        numbers(certify([A * low, upper * high], [S / low, top / low / high], X)),
        numbers(certify([A, upper], [S, top], X)),
        rtol=1e-9,
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "given",
    [lambda X: (X, {}), lambda X: (sp.csc_array(X), {}), lambda X: (X, {"weights": X * 0 + 1})],
    ids=["dense", "sparse", "weighted"],
)
@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e-100])
def test_a_small_data_point_is_judged_like_any_other(size, given):
    """S: complementarity was unknown for a column below 1e-162."""
    A, S, X = planted()
    columns = np.where(np.arange(40) == 3, size, 1.0)
    S = np.where(np.arange(40) == 3, 1.5, 1.0) * S
    X_, more = given(X * columns)
    got, expected = certify(A, S * columns, X_, **more).layers[0], certify(A, S, X).layers[0]
    assert got.kkt == pytest.approx(expected.kkt) and expected.kkt > 0.1
    assert got.complementarity == pytest.approx(expected.complementarity)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scale", [2.0**532, 2.0**-565])
@pytest.mark.parametrize("kind", OBJECTIVE)
def test_every_model_is_judged_at_every_scale(kind, scale):
    """S: OverflowError at 1e160, red with NaN at 1e-170, in all models."""
    base, given = EFFECTS[kind][0] | few_iterations(kind), LABELS if kind == "SSNMF" else {}
    data, given = data_of(kind, given)
    if kind == "UnfoldedNMF":
        given = {}
    expected = fitted(getattr(nnmf_nb, kind)(**base), data, **given).certificate_
    far = data * scale
    got = fitted(getattr(nnmf_nb, kind)(**base), far, **given).certificate_
    if kind in zoo.TENSORS:
        for field in ("error", "errors", "floor", "floors", "kkt", "stationarity"):
            pair = [getattr(one, field, 0.0) for one in (got, expected)]
            np.testing.assert_allclose(*pair, rtol=1e-3, atol=1e-6, err_msg=field)
        return
    np.testing.assert_allclose(
        [layer.error for layer in got.layers], [layer.error for layer in expected.layers], rtol=1e-3
    )
    assert [where for where, _, _ in got.verdicts] == [where for where, _, _ in expected.verdicts]
    assert "nan" not in repr(got) and got.color == expected.color


def test_a_nonlinear_model_is_shown_by_what_it_reconstructs():
    """S: the certificate of NonlinearSemiNMF multiplied its derivative with its codes, and was red
    for any fit.
    """
    model = fitted(nnmf_nb.NonlinearSemiNMF((3, 2), random_state=0, max_iter=5), SMALL)
    layer = model.certificate_.layers[0]
    assert layer.error == pytest.approx(model.reconstruction_err_ / np.linalg.norm(SMALL), rel=1e-6)
    assert model.certificate_.color == "amber" and "negative" not in repr(model.certificate_)


# --- X: one large data point ----------------------------------------------------------------------


@pytest.mark.parametrize("model", [NMF(3), HierarchicalNMF((3, 2)), NeuralNMF((3, 2))], ids=str)
def test_a_large_data_point_does_not_hide_the_others(model):
    """X: 'stationary' and green beside 99 points that are several per cent off."""
    rng = np.random.default_rng(0)
    data = rng.random((100, 3)) @ rng.random((3, 20))
    data[7] *= 1e6
    model = fitted(model.set_params(random_state=0, max_iter=3000), data)
    certificate = model.certificate_
    assert model.converged_ and certificate.color == "amber"
    assert "50 smaller ones hold" in certificate.reasons[0]
    alike = data / np.linalg.norm(data, axis=1, keepdims=True)
    assert "smaller ones" not in " ".join(fitted(model, alike).certificate_.reasons)


def test_a_large_data_point_is_no_reproach_to_a_finished_fit():
    """X: what is asked for can be reached, by a lower tol."""
    rng = np.random.default_rng(0)
    data = rng.random((100, 3)) @ rng.random((3, 20))
    data[0] *= 1e6
    model = fitted(NMF(3, random_state=0, max_iter=20000, tol=1e-13), data)
    off = (data - model.inverse_transform(model.transform(data)))[1:]
    assert np.linalg.norm(off) < 0.01 * np.linalg.norm(data[1:])
    # by sweeps, the choice where nothing is compiled, twenty thousand iterations are too few
    assert model.converged_ or model.solver_ == "e-hals"
    assert model.certificate_.color == ("green" if model.converged_ else "amber")


@pytest.mark.parametrize("empty", [0, 70])
def test_ordinary_lengths_are_not_mentioned(empty):
    """X: lengths over a decade, and empty data points, are ordinary."""
    rng = np.random.default_rng(1)
    data = SMALL * rng.lognormal(0, 1, (60, 1))
    data[: empty // 2] = 0.0
    model = fitted(NMF(3, random_state=0, max_iter=5000), data)
    assert model.certificate_.color == "green", model.certificate_


# --- G: a cost of the user's own ------------------------------------------------------------------


def penalized(wrong="", sparse=False):
    """A cost of two layers: their errors and the squares of their coefficients, with one derivative
    made wrong.
    """

    def cost(X, A, S, Y):
        assert sp.issparse(X) == sparse
        if sparse:
            X = X.toarray()
        value, dA, dS = 0.0, [], []
        below = X
        for a, s in zip(A, S):
            R = a @ s - below
            value += (R**2).sum() + 0.1 * (s**2).sum()
            dA.append(2 * R @ s.T)
            dS.append(2 * a.T @ R + 0.2 * s)
            if dS[1:]:
                dS[-2] -= 2 * R
            below = s
        for name, derivatives in (("dA", dA), ("dS", dS)):
            for l in range(2):
                if wrong == f"{name}[{l}]":
                    derivatives[l] = 0 * derivatives[l]
                if wrong == f"{name}[{l}] * 1.01":
                    derivatives[l] = 1.01 * derivatives[l]
        return value, dA, dS

    return cost


def complaints(cost, data, **change):
    """What a fit with a cost warns of, convergence apart."""
    options = dict(random_state=0, max_iter=2, init="sequential") | change
    model = NeuralNMF((4, 2), cost=cost, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(data)
    said = [one.message for one in caught if not issubclass(one.category, ConvergenceWarning)]
    return model, [str(message) for message in said]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "wrong", ["dA[0]", "dA[1]", "dS[0]", "dS[1]", "dA[0] * 1.01", "dS[1] * 1.01"]
)
def test_a_wrong_derivative_is_named(wrong, dtype):
    """G: it trained silently."""
    data = SMALL.astype(dtype)
    silent, nothing = complaints(penalized(wrong), data, check_gradient=False)
    model, said = complaints(penalized(wrong), data)
    assert nothing == [] and len(said) == 1
    assert said[0].startswith(f"{wrong.split()[0]} of the cost does not fit its value")
    assert np.array_equal(model.components_, silent.components_), "the check changes no bit"


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_right_derivative_is_not_complained_of(dtype, scale):
    """G: in both precisions, at any scale; X may be sparse; kinks are no mistakes."""
    data = (SMALL * scale).astype(dtype)
    assert complaints(penalized(), data)[1] == []
    assert complaints(penalized(sparse=True), sp.csr_array(data))[1] == []

    def absolute(X, A, S, Y):
        R = A[0] @ S[0] - X
        signs = np.sign(R)
        return abs(R).sum(), [signs @ S[0].T, 0 * A[1]], [A[0].T @ signs, 0 * S[1]]

    assert complaints(absolute, data)[1] == []


def test_the_check_is_made_once():
    """G: the first call only, four values per A and S."""
    calls = []

    def counted(*given):
        calls.append(1)
        return penalized()(*given)

    counts = []
    for check in (True, False):
        calls.clear()
        complaints(counted, SMALL, check_gradient=check, max_iter=0)
        counts.append(len(calls))
    assert counts[0] - counts[1] == 1 + 4 * 4


RETURNS = [
    (lambda X, A, S: 0.5, r"got a float\."),
    (lambda X, A, S: None, r"got a NoneType\."),
    (lambda X, A, S: (0.5, A), r"got a tuple of 2\."),
    (lambda X, A, S: (X, A, S), r"got an array of shape \(25, 60\) as value\."),
    (lambda X, A, S: (0.5, 1.0, S), r"got a float as dA\."),
    (lambda X, A, S: (0.5, A[:1], S), r"got 1 arrays in dA for 2 layers\."),
    (lambda X, A, S: (0.5, A, None), r"got a NoneType as dS\."),
    (
        lambda X, A, S: (0.5, A, [S[0], S[1].T]),
        r"dS\[1\] .* the shape of S\[1\], \(2, 60\); got an array of shape \(60, 2\)\.",
    ),
    (lambda X, A, S: (0.5, [A[0], 0.0], S), r"dA\[1\] .* got a float\."),
]


@pytest.mark.parametrize("returned, message", RETURNS)
def test_a_malformed_return_is_named(returned, message):
    """G: "'float' object is not iterable", or a broadcast that trained on."""
    with pytest.raises(ValueError, match=message):
        complaints(lambda X, A, S, Y: returned(X, A, S), SMALL)
