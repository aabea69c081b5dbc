"""No parameter without an effect: every one of every estimator is changed, alone, and something
must be different.
"""

import warnings
from functools import cache

import numpy as np
import pytest
import zoo

import nnmf_nb
from nnmf_nb import datasets

TOY = datasets.toy(random_state=0)
X = TOY.X + np.random.default_rng(0).gamma(1.0, 2.0, TOY.X.shape)
Y = np.where(np.arange(90) % 3 == 0, TOY.labels["level_4"], -1)
OTHER_H = np.random.default_rng(1).random((1, 87))

ONE, LAYERS = (
    dict(n_components=4, random_state=0, max_iter=20),
    dict(ranks=(6, 4), random_state=0, max_iter=10),
)
LABELS = dict(y=Y)
RANDOM = dict(init="random")
NOTHING = {}


def change(value, among=None, fit=None):
    """The new value, the other parameters among which it is changed, and what fit gets besides
    X.
    """
    return value, among or {}, fit or NOTHING


COMMON = dict(max_iter=change(2), tol=change(0.3))
NMF = COMMON | dict(
    n_components=change(3),
    init=change("random"),
    random_state=change(1, RANDOM),
    n_init=change(4, RANDOM),
)
STARTS = COMMON | dict(ranks=change((5, 3)), random_state=change(1), lam=change(0.1, fit=LABELS))
CHAINS = STARTS | dict(
    init=change("flat"), n_init=change(4), n_init_upper=change(1), alpha_W=change(0.5)
)
EFFECTS = {
    "NMF": (
        ONE,
        NMF
        | dict(
            solver=change("anls"),
            beta_loss=change(1.0, dict(solver="mu")),
            alpha_W=change(0.1),
            alpha_H=change(0.1, dict(alpha_W=0.01)),
            l1_ratio=change(1.0, dict(alpha_W=0.1)),
            fixed=change(OTHER_H),
        ),
    ),
    "SSNMF": (
        ONE,
        NMF
        | dict(
            solver=change("anls", fit=LABELS),
            lam=change(0.1, fit=LABELS),
            beta_loss=change("kullback-leibler", fit=LABELS),
            label_loss=change("kullback-leibler", fit=LABELS),
        ),
    ),
    "GuidedNMF": (
        ONE | dict(seeds=[[0, 1]]),
        NMF
        | dict(
            lam=change(0.5),
            seeds=change([[80]]),
            features=change(
                list(TOY.features[::-1]),
                dict(seeds=[[str(TOY.features[0])]], features=list(TOY.features)),
            ),
        ),
    ),
    "MiniBatchNMF": (
        ONE | dict(batch_size=30),
        COMMON
        | dict(
            n_components=change(3),
            init=change("random"),
            random_state=change(1, RANDOM),
            batch_size=change(9),
            forget_factor=change(0.5),
            beta_loss=change("kullback-leibler"),
        ),
    ),
    "MiniBatchSSNMF": (
        ONE | dict(batch_size=30),
        COMMON
        | dict(
            n_components=change(3),
            lam=change(0.1, fit=LABELS),
            init=change("random"),
            random_state=change(1, RANDOM),
            batch_size=change(9),
            forget_factor=change(0.5),
        ),
    ),
    "HierarchicalNMF": (
        LAYERS,
        CHAINS
        | dict(
            beta_loss=change("kullback-leibler"),
            random_state=change(1, dict(ranks=(9, 6), n_init=4)),
        ),
    ),
    "DeepNMF": (
        LAYERS,
        CHAINS
        | dict(
            coupling=change(1.0),
            pool_size=change(2),
            pooling=change("max", dict(pool_size=2)),
            solver=change("mu"),
            pretrain_iter=change(0),
        ),
    ),
    "DeepSemiNMF": (
        LAYERS,
        STARTS | dict(ridge=change(0.5), solver=change("mu"), pretrain_iter=change(0)),
    ),
    "NonlinearSemiNMF": (
        LAYERS,
        COMMON
        | dict(
            ranks=change((5, 3)),
            random_state=change(1),
            activation=change("tanh"),
            ridge=change(0.1),
            pretrain_iter=change(0),
        ),
    ),
    "UnfoldedNMF": (
        dict(n_components=2, n_layers=3, max_iter=10, pretrain_iter=20),
        dict(
            n_components=change(3),
            n_layers=change(2),
            beta=change(2.0),
            cost_beta=change(2.0),
            sparsity=change(0.5),
            pretrain_iter=change(1),
            max_iter=change(1),
            tol=change(0.5, dict(max_iter=60)),
            source_weights=change([3.0, 1.0]),
        ),
    ),
    "SparseCodingNetwork": (
        LAYERS,
        COMMON
        | dict(
            ranks=change((5, 3)),
            random_state=change(1),
            l1=change(0.3),
            l2=change(0.2),
            ridge=change(0.1, fit=LABELS),
            pretrain_iter=change(3),
            max_iter=change(2, fit=LABELS),
        ),
    ),
    "NeuralNMF": (
        LAYERS,
        STARTS
        | dict(
            init=change("above"),
            n_init=change(1, dict(ranks=(9, 6))),
            alpha_W=change(0.5),
            beta_loss=change("kullback-leibler"),
            cost=change("last"),
            coefficients=change("data"),
            depth_weights=change((1, 9)),
            label_loss=change("cross_entropy", fit=LABELS),
            optimizer=change("adam"),
            step=change(0.001, dict(optimizer="adam")),
            batch_size=change(20, dict(optimizer="sgd")),
            warm_start=change(True, dict(warm_start=False)),
        ),
    ),
    "NonnegativeCP": (
        dict(rank=4, random_state=0, max_iter=20),
        COMMON
        | dict(
            rank=change(3),
            beta_loss=change("kullback-leibler"),
            init=change("random", dict(n_init=1)),
            n_init=change(1),
            fixed=change({1: np.random.default_rng(1).random((87, 4))}),
            max_iter=change(2, dict(n_init=1)),
            random_state=change(1, RANDOM),
        ),
    ),
    "NeuralNCPD": (
        LAYERS | dict(n_init=2),
        COMMON
        | dict(
            ranks=change((5, 3)),
            hierarchy=change("modes"),
            depth_weights=change((1, 9)),
            frozen=change(True),
            lam=change(0.1, fit=LABELS),
            label_loss=change("cross_entropy", fit=LABELS),
            n_init=change(1),
            n_init_upper=change(1),
            pretrain_iter=change(1),
            warm_start=change(True),
            random_state=change(1),
        ),
    ),
}
ON_HOST = ("NeuralNCPD",)  # has no device
CASES = [(kind, name) for kind, (_, changes) in EFFECTS.items() for name in changes]


def sources():
    """What UnfoldedNMF separates: two parts and their sum."""
    first, second = (
        np.random.default_rng(i).random((3, 40)).T @ np.random.default_rng(i + 5).random((3, 12))
        for i in range(2)
    )
    return first + second, [first, second]


def outcome(kind, params, given):
    """Everything numerical that a fit leaves behind, as one list of arrays."""
    model = getattr(nnmf_nb, kind)(**params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "UnfoldedNMF":
            model.fit(*sources())
            return [np.asarray(part) for part in model.separate(sources()[0])]
        for _ in range(1 + ("warm_start" in params)):
            model.fit(X, **given)
        found = [np.asarray(model.transform(X))]
        found += getattr(model, "factors_", None) or [np.asarray(model.components_)]
    return found + [one.B for one in getattr(model, "classifiers_", {}).values()]


@cache
def unchanged(kind, name):
    """The outcome before a parameter is changed; most share it."""
    base, changes = EFFECTS[kind]
    _, among, given = changes[name]
    for other in list(changes)[: list(changes).index(name)]:
        if changes[other][1] == among and changes[other][2] is given:
            return unchanged(kind, other)
    return outcome(kind, base | among, given)


def same(one, two):
    return len(one) == len(two) and all(
        a.shape == b.shape and np.array_equal(a, b) for a, b in zip(one, two)
    )


# they decide about words, and have tests of their own
QUIET = {"NeuralNMF": {"check_gradient"}, "GuidedNMF": {"handle_unknown"}}


def test_every_estimator_and_every_parameter_is_here():
    assert sorted(EFFECTS) == sorted(zoo.MODELS)
    for kind, (_, changes) in EFFECTS.items():
        quiet = {"device", "verbose"} | QUIET.get(kind, set())
        quiet -= {"device"} if kind in ON_HOST else set()
        assert sorted({*changes, *quiet}) == sorted(getattr(nnmf_nb, kind)().get_params()), kind


@pytest.mark.each_value_once
@pytest.mark.parametrize("kind, name", CASES, ids=map("-".join, CASES))
def test_parameter_matters(kind, name):
    base, changes = EFFECTS[kind]
    value, among, given = changes[name]
    after = outcome(kind, base | among | {name: value}, given)
    assert not same(unchanged(kind, name), after), (
        f"{name}={value!r} changes nothing. If it acts only beside other parameters (random_state "
        f"beside an init that draws something), name these in EFFECTS[{kind!r}]."
    )
    assert all(np.isfinite(part).all() for part in after)


@pytest.mark.parametrize("kind", EFFECTS)
def test_the_same_parameters_give_the_same_bits(kind):
    base = EFFECTS[kind][0]
    assert same(outcome(kind, base, {}), outcome(kind, base, {}))


@pytest.mark.parametrize("kind", EFFECTS)
def test_verbose_and_device(kind, capsys):
    base = EFFECTS[kind][0]
    outcome(kind, base, {})
    assert capsys.readouterr().err == ""
    outcome(kind, base | dict(verbose=1), LABELS if kind == "SSNMF" else {})
    assert kind in capsys.readouterr().err
    if kind not in ON_HOST:
        with pytest.raises(ValueError, match="device must be"):
            outcome(kind, base | dict(device="tpu"), {})
