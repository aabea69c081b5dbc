"""nnmf_nb.plot: what is returned and drawn, on given axes and without, for masks, single layers and
dead topics; no state left behind.
"""

import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402

from nnmf_nb import SSNMF, GuidedNMF, HierarchicalNMF, NeuralNMF, datasets, plot  # noqa: E402
from nnmf_nb.chain._layers import Layer, flows, topic_features, topic_shares  # noqa: E402
from nnmf_nb.evaluation.metrics import forward  # noqa: E402
from nnmf_nb.plot import _colors, _factors, _images, _paths, _time  # noqa: E402

KNOWN = np.random.default_rng(1).random((90, 87)) < 0.8


@pytest.fixture(scope="module")
def toy():
    return datasets.toy(random_state=0)


@pytest.fixture(scope="module")
def models(toy):
    """Fitted models of every kind that a picture must bear."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = {
            "neural": NeuralNMF(ranks=(9, 4, 2), random_state=0).fit(toy.X),
            "stepwise": HierarchicalNMF(ranks=(9, 4, 2), random_state=0).fit(toy.X),
            "masked": HierarchicalNMF(ranks=(9, 4), max_iter=5, random_state=0).fit(
                np.where(KNOWN, toy.X, np.nan), mask=KNOWN
            ),
            "single": NeuralNMF(ranks=(5,), random_state=0, max_iter=20).fit(toy.X),
            "one topic": NeuralNMF(ranks=(3, 1), random_state=0, max_iter=20).fit(toy.X),
            "float32": NeuralNMF(ranks=(6, 3), random_state=0, max_iter=20).fit(
                toy.X.astype(np.float32)
            ),
        }
        low = np.zeros((90, 87))
        low[:45, :40], low[45:, 40:] = 1, 2
        # rank 2: some topics have nothing left to explain
        fitted["dead"] = HierarchicalNMF(ranks=(6, 3), random_state=0, max_iter=30).fit(low)
        fitted["zero"] = HierarchicalNMF(ranks=(3, 2), random_state=0, max_iter=3).fit(
            np.zeros((90, 87))
        )
    return fitted


KINDS = ["neural", "stepwise", "masked", "single", "one topic", "float32", "dead", "zero"]


@pytest.fixture(autouse=True)
def clean():
    """Every test starts without figures and must not change rcParams."""
    plt.close("all")
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    plt.close("all")


ON_AX = {  # single-panel functions: (model, ax) -> drawn
    "factor": lambda m, ax: plot.plot_factor(m, -1, ax=ax),
    "errors": lambda m, ax: plot.plot_errors(m, ax=ax),
    "training": lambda m, ax: plot.plot_training(m, ax=ax),
    "tree": lambda m, ax: plot.plot_tree(m, ax=ax),
    "over time": lambda m, ax: plot.plot_over_time(m, -1, np.arange(90) // 9, ax=ax),
    "images": lambda m, ax: plot.plot_images(m, -1, (3, 29), ax=ax),
    "curves": lambda m, ax: plot.plot_curves(m, -1, ax=ax),
    "paths": lambda m, ax: plot.plot_paths(m, 5, ax=ax),
    "by group": lambda m, ax: plot.plot_by_group(m, np.arange(90) % 4, ax=ax),
}
ON_FIG = {  # functions with several panels: (model, fig) -> array of axes
    "reconstructions": lambda m, fig: plot.plot_reconstructions(m, np.ones((90, 87)), fig=fig),
    "topics": lambda m, fig: plot.plot_topics(m, 0, top=4, fig=fig),
}


@pytest.mark.each_value_once
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ON_AX)
def test_given_axes_are_used_and_returned(models, name, kind):
    fig = Figure(figsize=(6, 4), layout="constrained")  # a figure that pyplot knows nothing of
    ax = fig.subplots()
    assert ON_AX[name](models[kind], ax) is ax
    assert plt.get_fignums() == [] and ax.has_data() | bool(ax.texts)
    with warnings.catch_warnings():
        # a layout that collapses, glyphs that are missing, divisions by zero
        warnings.simplefilter("error")
        fig.canvas.draw()


@pytest.mark.each_value_once
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ON_FIG)
def test_given_figure_is_used(models, name, kind):
    fig = Figure(figsize=(9, 6), layout="constrained")
    axes = ON_FIG[name](models[kind], fig)
    assert (
        isinstance(axes, np.ndarray)
        and all(ax.figure is fig for ax in axes)
        and plt.get_fignums() == []
    )
    fig.canvas.draw()


@pytest.mark.parametrize("name", [*ON_AX, *ON_FIG])
def test_new_figure_without_axes(models, name):
    drawn = (ON_AX | ON_FIG)[name](models["neural"], None)
    first = drawn[0] if isinstance(drawn, np.ndarray) else drawn
    assert plt.get_fignums() == [first.figure.number] and max(first.figure.get_size_inches()) <= 12


def test_current_axes_stay_current(models):
    other, mine = plt.subplots(1, 2)[1]
    plt.sca(other)
    plot.plot_errors(models["neural"], ax=mine)
    assert plt.gca() is other and not other.has_data()


def test_layers_are_as_good_as_models(models):
    layers = models["neural"].layers_
    for draw in (plot.plot_tree, plot.plot_errors, plot.plot_factor, plot.plot_images):
        extra = {"shape": (3, 29)} if draw is plot.plot_images else {}
        draw(layers, **extra)
    plot.plot_topics(layers)
    with pytest.raises(TypeError, match="training history"):
        plot.plot_training(layers)


def test_package_does_not_import_pyplot():
    code = (
        "import sys, nnmf_nb; assert 'matplotlib' not in sys.modules; import nnmf_nb.plot; assert "
        "'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- colors and order ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_colors_are_rgba_and_constant(models, kind):
    colors = plot.topic_colors(models[kind])
    assert [c.shape for c in colors] == [(one.rank, 4) for one in models[kind].layers_]
    assert all((c >= 0).all() and (c <= 1).all() for c in colors)
    assert all((a == b).all() for a, b in zip(colors, plot.topic_colors(models[kind].layers_)))


def test_children_are_distinct_tints_of_their_main_parent(models):
    model = models["neural"]
    colors, parents = plot.topic_colors(model), plot.main_parents(model)
    for root, family in (
        (j, f) for j in (0, 1) for f in ((1, parents[1] == j), (0, (parents[1] == j)[parents[0]]))
    ):
        l, members = family
        dark = 1 - colors[2][root][:3]
        parts = (1 - colors[l][members][:, :3])[:, dark > 0.05] / dark[dark > 0.05]
        # on the line from the supertopic's color to white
        assert (np.ptp(parts, axis=1) < 1e-9).all() and (parts < 1).all()
    for colors in plot.topic_colors(model):
        assert len(np.unique(colors.round(6), axis=0)) == len(colors)


def test_many_supertopics_have_colors():
    bases = np.array([_colors.base_color(i) for i in range(24)])
    assert len(np.unique(bases.round(6), axis=0)) == 24


def test_dead_topics_are_gray(models):
    for kind in ("dead", "zero"):
        layers = models[kind].layers_
        dead = [topic_shares(layers, l) <= 0 for l in range(len(layers))]
        assert any(d.any() for d in dead)
        for d, colors in zip(dead, plot.topic_colors(models[kind])):
            assert np.allclose(colors[d], matplotlib.colors.to_rgba(_colors.DEAD))


@pytest.mark.parametrize("kind", KINDS)
def test_tree_order_keeps_families_together(models, kind):
    layers = models[kind].layers_
    orders, parents = plot.tree_order(layers), plot.main_parents(layers)
    for l, order in enumerate(orders):
        assert sorted(order) == list(range(layers[l].rank))
        if l + 1 < len(layers):
            alive = parents[l][order][parents[l][order] >= 0]
            place = np.argsort(orders[l + 1])[alive]
            assert (np.diff(place) >= 0).all()


# --- single pictures ------------------------------------------------------------------------------


def hand_made():
    """Two layers, three topics of which the second belongs to both supertopics in the parts
    3 : 1.
    """
    A = [np.eye(4, 3), np.array([[0.8, 0], [0.6, 0.2], [0, 0.9]])]
    S1 = np.array([[1.0, 2, 0], [0, 3, 0]])
    keep = dict(error=0.2, floor=0.1, kkt=0.0, ambiguous=0, dead=[], duplicates=[])
    return [Layer(A[0], A[1] @ S1, **keep), Layer(A[1], S1, **keep)]


def test_factor_shows_blocks_and_names():
    ax = plot.plot_factor(hand_made(), 0, features=["a", "b", "c", "d"])
    shown = ax.images[0].get_array()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "c", "d"] and shown.shape == (
        4,
        3,
    )
    assert (np.diff(np.argmax(shown[:3], axis=1)) >= 0).all() and (shown[3] == 0).all()
    assert ax.get_xlabel() and ax.get_ylabel() == "features"
    upper = plot.plot_factor(hand_made(), 1)
    assert upper.images[0].get_array().shape == (3, 2) and upper.get_ylabel() == "topics of layer 0"


def test_factor_top_and_many_rows():
    rng = np.random.default_rng(0)
    model = HierarchicalNMF(ranks=(3,), max_iter=3, tol=1.0, random_state=0).fit(
        rng.random((20, 1000))
    )
    assert plot.plot_factor(model).images[0].get_array().shape == (_factors.CELLS, 3)
    assert plot.plot_factor(model, top=2).images[0].get_array().shape[0] <= 6
    with pytest.raises(ValueError, match="1000 names"):
        plot.plot_factor(model, features=["a"])


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_reconstructions_are_the_reconstructions(toy, models, make):
    model = models["neural"]
    axes = plot.plot_reconstructions(model, make(toy.X))
    assert [ax.get_title() for ax in axes][0] == "X" and all(
        f"{one.error:.3f}" in ax.get_title() for one, ax in zip(model.layers_, axes[1:])
    )
    np.testing.assert_allclose(axes[0].images[0].get_array(), toy.X.T)
    for l, ax in enumerate(axes[1:]):
        np.testing.assert_allclose(
            ax.images[0].get_array(),
            model.inverse_transform(model.transform(toy.X, layer=l), layer=l).T,
            atol=1e-9,
        )
    assert len({ax.images[0].get_clim() for ax in axes}) == 1


def test_reconstructions_order_depths_and_mask(toy, models):
    rows, columns = np.random.default_rng(0).permutation(87), np.arange(90)[::-1]
    axes = plot.plot_reconstructions(models["neural"], toy.X, depths=[-1], order=(rows, columns))
    assert len(axes) == 2 and "depth 2" in axes[1].get_title()
    np.testing.assert_allclose(axes[0].images[0].get_array(), toy.X.T[rows][:, columns])
    by_topic = (
        plot.plot_reconstructions(models["neural"], toy.X, order="topics")[0].images[0].get_array()
    )
    np.testing.assert_allclose(np.sort(by_topic, axis=None), np.sort(toy.X, axis=None))
    masked = (
        plot.plot_reconstructions(models["masked"], np.where(KNOWN, toy.X, np.nan), mask=KNOWN)[0]
        .images[0]
        .get_array()
    )
    np.testing.assert_array_equal(np.ma.getmaskarray(np.ma.masked_invalid(masked)), ~KNOWN.T)
    for order in ("size", (rows,), (columns, rows), (rows, np.zeros(90, int))):
        with pytest.raises(ValueError, match="order must be"):
            plot.plot_reconstructions(models["neural"], toy.X, order=order)
    with pytest.raises(ValueError, match="layer must be"):
        plot.plot_reconstructions(models["neural"], toy.X, depths=[3])


def test_large_sparse_data_are_averaged():
    X = sp.random_array((3000, 900), density=0.01, rng=np.random.default_rng(0), format="csr")
    model = HierarchicalNMF(ranks=(4, 2), max_iter=3, tol=1.0, random_state=0).fit(X)
    axes = plot.plot_reconstructions(model, X, order="topics")
    assert all(ax.images[0].get_array().shape == (400, 400) for ax in axes)
    cells = _factors._data_cells(
        forward(model, X).X, _factors.averager(np.arange(900)), _factors.averager(np.arange(3000))
    )
    assert np.isclose(cells[0, 0], X.toarray()[:8, :3].mean())  # the first of 400 cells


def test_errors_picture(models):
    ax = plot.plot_errors([models["neural"], models["stepwise"]], names=["joint", "steps"])
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(
        lines["joint"].get_ydata(), [one.error for one in models["neural"].layers_]
    )
    assert (
        set(lines) == {"joint", "steps", "SVD floor"} and len(lines["SVD floor"].get_ydata()) == 3
    )
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0 (9)", "1 (4)", "2 (2)"]
    assert "SVD floor" not in {
        line.get_label() for line in plot.plot_errors(models["masked"]).lines
    }
    mixed = plot.plot_errors([models["neural"], models["single"]])
    assert [t.get_text() for t in mixed.get_xticklabels()] == [
        "0",
        "1",
        "2",
    ] and mixed.get_ylabel() == "relative error"
    with pytest.raises(ValueError, match="2 names"):
        plot.plot_errors([models["neural"], models["single"]], names=["one"])


def test_training_picture(models):
    joint, steps, masked = (
        plot.plot_training(models[kind]) for kind in ("neural", "stepwise", "masked")
    )
    for l, one in enumerate(models["neural"].layers_):
        np.testing.assert_allclose(
            joint.lines[l].get_ydata(), models["neural"].history_["errors"][:, l] / one.floor
        )
    assert joint.get_ylabel() == "error / SVD floor" and joint.get_xlabel() == "iteration"
    assert (
        len(joint.lines) == 4
        and "own data" in steps.get_ylabel()
        and masked.get_ylabel().startswith("relative error")
    )
    for l in range(3):
        assert len(steps.lines[l].get_ydata()) == len(models["stepwise"].history_["errors"][l])
        assert (steps.lines[l].get_ydata() > 1 - 1e-6).all()  # nothing is below its floor
    fresh = NeuralNMF(ranks=(2,))
    fresh.layers_, fresh.history_ = models["single"].layers_, {"errors": np.array([])}
    assert "no iterations" in plot.plot_training(fresh).texts[0].get_text()
    fresh.history_ = {"errors": [0.5, 0.25]}  # one layer, a plain list
    assert len(plot.plot_training(fresh).lines[0].get_ydata()) == 2


def bars_and_ribbons(ax):
    bars = [p for p in ax.patches if isinstance(p, matplotlib.patches.Rectangle)]
    return bars, [p for p in ax.patches if isinstance(p, matplotlib.patches.PathPatch)]


def test_tree_of_a_hand_made_hierarchy():
    layers = hand_made()
    ax = plot.plot_tree(layers, features=["a", "b", "$c$", "d"])
    bars, ribbons = bars_and_ribbons(ax)
    assert len(bars) == 5 and len(ribbons) == (flows(layers, 1) > 0).sum() == 4
    heights = [bar.get_height() for bar in bars]
    unit = sum(heights[:3])
    np.testing.assert_allclose(np.array(heights[:3]) / unit, topic_shares(layers, 0))
    np.testing.assert_allclose(np.array(heights[3:]) / unit, topic_shares(layers, 1))
    # at the supertopic
    widths = sorted(np.ptp(r.get_path().vertices[[0, -2], 1]) / unit for r in ribbons)
    np.testing.assert_allclose(widths, np.sort(flows(layers, 1)[flows(layers, 1) > 0]))
    words = " ".join(text.get_text() for text in ax.texts)
    assert (
        r"\$c\$" in words
        and "layer 1: 2 topics" in words
        and "layer 0: 3 topics" in words
        and "%" in words
    )
    ax.figure.canvas.draw()


def overlaps(ax):
    """Pairs of texts that lie on each other."""
    renderer = ax.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in ax.texts]
    return [
        (i, j)
        for i in range(len(boxes))
        for j in range(i)
        if boxes[i].shrunk(0.9, 0.6).overlaps(boxes[j].shrunk(0.9, 0.6))
    ]


def random_layers(ranks, rng, n=200, m=60):
    chain, below = [], n
    for k in ranks:
        A = rng.gamma(0.3, 1, (below, k))
        chain.append(A / np.linalg.norm(A, axis=0))
        below = k
    S, layers = rng.gamma(0.5, 1, (ranks[-1], m)), []
    for A in chain[::-1]:
        layers.insert(0, Layer(A, S, 0.1, 0.1, 0.0, 0, [], []))
        S = A @ S
    return layers


@pytest.mark.each_value_once
@pytest.mark.parametrize("ranks", [(9, 4, 2), (20, 6), (30, 8), (12, 6, 3, 1), (5,)])
@pytest.mark.parametrize("size", [None, (4, 2), (7, 4)])
def test_labels_of_a_tree_do_not_overlap_and_stay_inside(ranks, size):
    layers = random_layers(ranks, np.random.default_rng(len(ranks)))
    ax = plot.plot_tree(
        layers,
        features=[f"feature{i}" for i in range(200)],
        ax=None if size is None else plt.figure(figsize=size).subplots(),
    )
    ax.figure.canvas.draw()
    assert overlaps(ax) == []
    if size is None:
        renderer, page = ax.figure.canvas.get_renderer(), ax.figure.bbox
        assert all(
            page.x0 <= t.get_window_extent(renderer).x0
            and t.get_window_extent(renderer).x1 <= page.x1
            for t in ax.texts
        )
        # all are labeled
        assert sum(t.get_text().endswith("%") for t in ax.texts) == ranks[0] + (
            ranks[-1] if len(ranks) > 1 else 0
        )


def test_topic_cards(models):
    names = [f"${i}" for i in range(87)]
    axes = plot.plot_topics(models["neural"], 1, features=names, top=5)
    assert axes.shape == (4,) and [ax.get_title(loc="left").split(" ")[1] for ax in axes] == [
        "0",
        "1",
        "2",
        "3",
    ]
    Phi = topic_features(models["neural"].layers_, 1)
    for j, ax in enumerate(axes):
        lengths = np.array([bar.get_width() for bar in ax.patches])
        np.testing.assert_allclose(lengths, np.sort(Phi[:, j])[::-1][:5] / Phi[:, j].sum())
        assert ax.get_yticklabels()[0].get_text() == f"\\${Phi[:, j].argmax()}"
    assert len(axes[0].figure.axes) == 4
    assert any("dead" in ax.get_title(loc="left") for ax in plot.plot_topics(models["zero"], 0))
    with pytest.raises(ValueError, match="layer must be"):
        plot.plot_topics(models["neural"], 7)


# --- over time ------------------------------------------------------------------------------------


def test_shares_over_by_hand():
    layers = hand_made()  # Phi_0 has column sums 1
    S = np.array([[1.0, 1, 2], [0, 0, 4], [5, 5, 0], [0, 0, 0]])
    centers, shares, width = plot.shares_over(layers, 0, [2000, 2001, 2003, 2010], S=S, width=2)
    assert centers.tolist() == [2000.5, 2002.5, 2010.5] and width == 2
    np.testing.assert_allclose(shares, np.array([[1, 1, 6], [5, 5, 0], [0, 0, 0]]).T / [8, 10, 1])


def test_over_time_of_a_model(toy, models):
    model, when = models["neural"], pd.Series(np.arange(90) // 3, name="week")
    ax = plot.plot_over_time(model, 1, when, features=toy.features)
    assert (
        len(ax.collections) == 4
        and ax.get_xlabel() == "week (bins of 1)"
        and ax.get_ylabel() == "share of the reconstruction"
    )
    np.testing.assert_allclose(
        plot.shares_over(model, 1, when)[1],
        plot.shares_over(model, 1, when, X=toy.X)[1],
        atol=1e-12,
    )
    np.testing.assert_allclose(
        plot.shares_over(model, 1, when)[1],
        plot.shares_over(model, 1, when, S=model.transform(toy.X, layer=1))[1],
    )
    ax.figure.canvas.draw()
    assert overlaps(ax) == [] and len(ax.texts) == 8  # a line and a label per topic


def test_over_one_moment(models):
    ax = plot.plot_over_time(models["neural"], 0, np.full(90, 1999))
    assert ax.get_xlim()[0] < 1999 < ax.get_xlim()[1]


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(when=np.arange(3)), "90 numbers"),
        (dict(when=["a"] * 90), "finite numbers"),
        (dict(when=np.full(90, np.nan)), "finite numbers"),
        (dict(width=0), "width must be"),
        (dict(S=np.ones((90, 3))), "4 columns"),
        (dict(S=np.ones((90, 4)), X=np.ones((90, 87))), "not both"),
    ],
)
def test_over_time_errors(models, change, message):
    with pytest.raises(ValueError, match=message):
        plot.plot_over_time(models["neural"], 1, **{"when": np.arange(90)} | change)


def test_over_dates(models):
    """BB: all forms of dates give one picture, sorted, on an axis of dates."""
    model, rng = models["neural"], np.random.default_rng(0)
    days = np.datetime64("2019-12-25") + rng.permutation(90)
    plain = (days - np.datetime64("1970-01-01")).astype(int)
    expected = plot.shares_over(model, -1, plain)
    forms = [
        days,
        pd.Series(days),
        pd.DatetimeIndex(days, tz="UTC"),
        days.astype(object),  # datetime.date
        [str(day) for day in days],
        [f"{day}T00:00:00Z" for day in days],
        pd.Series(days).dt.to_period("h"),
    ]
    for when in forms:
        centers, shares, width = plot.shares_over(model, when=when)
        assert centers.dtype.kind == "M" and (np.diff(centers) > np.timedelta64(0)).all()
        found = (centers - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
        offset = 0.5 if isinstance(when, pd.Series) and when.dtype.kind == "O" else 0.0
        assert abs(found - expected[0]).max() <= 1 + offset and width == expected[2] == 2
        np.testing.assert_allclose(shares, expected[1], atol=1e-9)
    ax = plot.plot_over_time(model, when=pd.Series(days, name="day"))
    assert ax.get_xlabel() == "day (bins of 2 days)" and len(ax.collections) == 2
    ax.figure.canvas.draw()
    assert "2020" in ax.xaxis.get_major_formatter().get_offset()
    assert "Jan" in " ".join(label.get_text() for label in ax.get_xticklabels())
    for freq in ("M", "Q"):  # four years were too many months and too few years for matplotlib
        months = pd.period_range("1990-01", periods=48 if freq == "M" else 16, freq=freq)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for draw in (plot.plot_over_time, plot.plot_river):
                given = months[np.arange(90) % len(months)]
                ax = draw(model, -1, given, ax=Figure().subplots())
                ax.figure.canvas.draw()
                assert 3 <= len(ax.get_xticks()) <= 7
    years = [str(1790 + i) for i in range(90)]
    ax = plot.plot_over_time(model, when=years)
    assert ax.get_xlabel() == "when (bins of 2)" and 1790 <= ax.get_xlim()[0] < 1792
    old = plot.shares_over(model, when=[f"{1600 + i}-07-14" for i in range(90)])[0]
    assert str(old[0]).startswith("160")
    for when, message in [
        ([*days[:-1].astype(str), "tomorrow"], "the one at index 89 is 'tomorrow'"),
        ([*days[:-1], np.datetime64("NaT")], "1 are missing or infinite, the first at index 89"),
        (days - days[0], "got dtype timedelta64"),
        (None, "one per data point"),
    ]:
        with pytest.raises(ValueError, match=message):
            plot.shares_over(model, when=when)


def test_by_group():
    """BB: means over the data points of a group, counts, and those without a group."""
    layers = hand_made()  # Phi_0 has column sums 1
    S = np.array([[1.0, 1, 2], [0, 0, 4], [5, 5, 0], [0, 0, 0]])
    table = plot.shares_by_group(layers, ["b", "a", "b", None], 0, S=S)
    assert [*table.index] == ["a", "b", "missing"] and [*table["count"]] == [1, 2, 1]
    expected = np.array([[0, 0, 1], [0.375, 0.375, 0.25], [np.nan] * 3])
    np.testing.assert_allclose(table.drop(columns="count"), expected)
    order = pd.Categorical(["b", "a", "b", "b"], categories=["b", "a", "none"])
    assert [*plot.shares_by_group(layers, order, 0, S=S).index] == ["b", "a"]
    ax = plot.plot_by_group(layers, pd.Series([3, 1, 3, 1], name="ward"), 0, S=S)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["1 (2)", "3 (2)"]
    assert ax.get_ylabel() == "ward"
    lengths = np.array([[bar.get_width() for bar in bars] for bars in ax.containers])
    np.testing.assert_allclose(lengths.sum(axis=0), 1)
    with pytest.raises(ValueError, match="groups must be 4 names"):
        plot.shares_by_group(layers, ["a"], 0, S=S)


def test_bins():
    assert [
        _time.bin_width(np.array(pair))
        for pair in ([0, 1], [0, 60], [1790, 2026], [0, 0.6], [3, 3], [0, 1e6])
    ] == [1, 1, 5, 0.01, 1, 20000]
    # rounding must not move a value into the bin before
    index, centers = _time.binned(np.array([0.1, 0.2, 0.3]), 0.1)
    assert index.tolist() == [0, 1, 2] and np.allclose(centers, [0.15, 0.25, 0.35])


def test_spread_keeps_order_distance_and_range():
    rng = np.random.default_rng(0)
    for n in (1, 5, 20):
        wanted = rng.random(n) ** 3
        places = _time.spread(wanted, 0.04, 0.0, 1.0)
        gaps = np.diff(places[np.argsort(wanted)])
        assert (gaps >= 0.04 - 1e-9).all() and places.min() >= -1e-9 and places.max() <= 1 + 1e-9
    assert np.allclose(_time.spread(np.array([0.2, 0.8]), 0.1, 0, 1), [0.2, 0.8])


def test_images(models):
    ax = plot.plot_images(models["neural"], 0, (3, 29))
    shares = topic_shares(models["neural"].layers_, 0)
    assert len(ax.images) == 9 == len(ax.texts) and [
        t.get_text().split(":")[0] for t in ax.texts
    ] == [str(i) for i in np.argsort(-shares)]
    Phi = topic_features(models["neural"].layers_, 0)
    np.testing.assert_allclose(ax.images[0].get_array(), Phi[:, np.argmax(shares)].reshape(3, 29))
    with pytest.raises(ValueError, match="87 features"):
        plot.plot_images(models["neural"], 0, (8, 8))
    with pytest.raises(ValueError, match="87 features"):
        plot.plot_images(models["neural"], 0)  # not a square


# --- relevance, paths, curves, classes ------------------------------------------------------------


@pytest.mark.parametrize("lam", [0.0, 0.4, 1.0])
def test_cards_are_ranked_by_relevance(toy, models, lam):
    names = [f"f{i}" for i in range(87)]
    axes = plot.plot_topics(models["neural"], 0, names, top=4, lam=lam, X=toy.X)
    phi = topic_features(models["neural"].layers_, 0)
    phi, p = phi / phi.sum(axis=0), toy.X.sum(axis=0) / toy.X.sum()
    for j, ax in enumerate(axes):
        with np.errstate(divide="ignore"):
            best = np.argsort(-(np.log(phi[:, j]) - (1 - lam) * np.log(p)), kind="stable")[:4]
        assert [t.get_text() for t in ax.get_yticklabels()] == [f"f{i}" for i in best]
        # thin bars: all data
        np.testing.assert_allclose(
            [bar.get_width() for bar in ax.patches], [*phi[best, j], *p[best]]
        )
    assert "all data" in axes[0].figure.get_supxlabel()


@pytest.mark.parametrize("lam", [-0.1, 2])
def test_relevance_has_limits(models, lam):
    with pytest.raises(ValueError, match="lam must be"):
        plot.plot_topics(models["neural"], lam=lam)


@pytest.mark.each_value_once
@pytest.mark.parametrize("kind", ["neural", "stepwise", "single", "one topic", "float32", "masked"])
@pytest.mark.parametrize("top", [1, 4, 1000])
def test_bars_of_paths_add_up_to_the_reconstruction(models, kind, top):
    layers, m = models[kind].layers_, 17
    ax = plot.plot_paths(models[kind], m, top=top)
    shares = [bar.get_width() for bar in ax.patches]
    assert sum(shares) == pytest.approx(1, abs=1e-6) and min(shares) > 0
    named = shares[:-1] if ax.get_yticklabels()[-1].get_text() == "all other paths" else shares
    assert len(named) <= top and named == sorted(named, reverse=True)
    whole = (topic_features(layers) @ layers[-1].S[:, m]).sum()
    (path, share), *_ = plot.path_shares(layers, [m], top)[0]
    mass = layers[0].A[:, path[0]].sum() * layers[-1].S[path[-1], m]
    for one, below, above in zip(layers[1:], path, path[1:]):
        mass = mass * one.A[below, above]
    assert shares[0] == pytest.approx(share) == pytest.approx(mass / whole, rel=1e-4)
    assert ax.patches[0].get_facecolor() == pytest.approx(
        tuple(plot.topic_colors(models[kind])[0][path[0]])
    )


def test_paths_of_new_data_and_of_nothing(toy, models):
    ax, old = (
        plot.plot_paths(models["neural"], 0, X=toy.X[17:20]),
        plot.plot_paths(models["neural"], 17),
    )
    np.testing.assert_allclose(
        [b.get_width() for b in ax.patches], [b.get_width() for b in old.patches], rtol=1e-6
    )
    assert "nothing" in plot.plot_paths(models["zero"], 0).texts[0].get_text()
    for wrong in (-1, 90):
        with pytest.raises(ValueError, match="point must be"):
            plot.plot_paths(models["neural"], wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_curves_are_the_topics(models, kind):
    at = pd.Series(np.linspace(700, 400, 87), name="wavelength")  # falling is as good as rising
    ax = plot.plot_curves(models[kind], 0, at)
    layers = models[kind].layers_
    Phi, order = topic_features(layers, 0), np.argsort(-topic_shares(layers, 0), kind="stable")
    assert (
        ax.get_xlabel() == "wavelength"
        and ax.get_xlim() == (700, 400)
        and len(ax.lines) == layers[0].rank
    )
    for lane, (j, line) in enumerate(zip(order, ax.lines)):
        np.testing.assert_allclose(
            line.get_ydata() - (len(order) - 1 - lane),
            0.85 * Phi[:, j] / (Phi[:, j].max() or 1),
            atol=1e-6,
        )
    assert ax.get_yticklabels()[0].get_text().startswith(f"{order[0]}: ")


@pytest.mark.parametrize(
    "axis",
    [np.arange(3), np.zeros(87), ["a"] * 87, np.r_[np.arange(86), np.nan]],
    ids=["short", "flat", "words", "nan"],
)
def test_axis_must_be_ordered_numbers(models, axis):
    assert _images.axis_of(axis, 87) is None
    with pytest.raises(ValueError, match="axis must be 87"):
        plot.plot_curves(models["neural"], 0, axis)


@pytest.fixture(scope="module")
def supervised(toy):
    y = np.where(np.arange(90) % 3 == 0, -1, toy.labels["level_4"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        seeds = {"first": ["x0", "x1"], "second": ["x80", "x81"]}
        return {
            "SSNMF": SSNMF(6, max_iter=50, random_state=0).fit(toy.X, y),
            "stepwise": HierarchicalNMF(ranks=(6, 4), max_iter=30, random_state=0).fit(toy.X, y),
            "neural": NeuralNMF(
                ranks=(6, 4), max_iter=20, random_state=0, label_loss="cross_entropy"
            ).fit(toy.X, y),
            "guided": GuidedNMF(
                6, seeds=seeds, features=[f"x{i}" for i in range(87)], max_iter=30, random_state=0
            ).fit(toy.X),
        }


@pytest.mark.parametrize("kind", ["SSNMF", "stepwise", "neural", "guided"])
def test_classes_and_topics(supervised, toy, kind):
    model = supervised[kind]
    l = _paths.labeled_layers(model)[-1]
    ax = plot.plot_classes(model, features=toy.features)
    names, weights = plot.class_weights(model)
    shown, order = ax.images[0].get_array(), plot.tree_order(model)[l]
    np.testing.assert_allclose(shown, weights.T[order])
    assert [t.get_text() for t in ax.get_xticklabels()] == names and ax.get_xlabel() == "class"
    assert [int(t.get_text().split(":")[0]) for t in ax.get_yticklabels()] == order.tolist()
    if kind == "guided":
        assert (
            names == ["first", "second"]
            and weights is not None
            and ax.figure.axes[1].get_ylabel() == "share of the seeds"
        )
        return
    S, one = model.layers_[l].S, model.classifiers_[l]
    # weights x how often a topic occurs x nothing else: the mean score of all data points, up to
    # what all classes share
    occurs = (S > 0).mean(axis=1)
    mean = one.scores(S.T).mean(axis=0) - (0 if one.b is None else one.b)
    gap = weights @ occurs - mean
    assert np.ptp(gap) < 1e-9 * np.abs(mean).max() and (
        kind == "neural" or np.abs(gap).max() < 1e-9 * np.abs(mean).max()
    )


def test_models_without_classes_say_so(models, supervised):
    with pytest.raises(ValueError, match="fitted with labels"):
        plot.plot_classes(models["neural"])
    with pytest.raises(ValueError, match=r"layer 0 has no labels; those with labels are \[1\]"):
        plot.plot_classes(supervised["stepwise"], 0)


def test_training_marks_changes_of_parameters():
    X = np.random.default_rng(0).random((30, 12))
    model = NeuralNMF(ranks=(4, 2), random_state=0, max_iter=6, tol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X)
    plain = plot.plot_training(model).lines
    model.history_["changes"] = [(3, {"step": 0.1})]
    marked = plot.plot_training(model).lines
    assert (
        len(marked) == len(plain) + 1
        and sum(list(line.get_xdata()) == [3, 3] for line in marked) == 1
    )
