"""The map of data points, the river and the comparison of two models."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.manifold import trustworthiness

from nnmf_nb import NMF, DeepSemiNMF, HierarchicalNMF, compare
from nnmf_nb.plot import map_positions, plot_compare, plot_map, plot_river, topic_colors
from nnmf_nb.plot._map_layout import dot_size, layout, starting_positions


def mixtures(n, seed=0):
    rng = np.random.default_rng(seed)
    groups = rng.gamma(0.3, 1, (3, 40)).repeat(3, axis=0) + rng.gamma(0.2, 1, (9, 40))
    return rng.dirichlet(np.full(9, 0.2), n) @ groups


X = mixtures(400)
MODEL = HierarchicalNMF(ranks=(9, 4, 2), max_iter=1000, random_state=0).fit(X)


@pytest.mark.parametrize("ranks", [(1,), (2,), (9, 4, 2)])
@pytest.mark.parametrize("n", [1, 3, 17, 300])
def test_layout_of_any_number_of_points_topics_and_layers(ranks, n):
    rng = np.random.default_rng(n)
    shares = [rng.dirichlet(np.full(k, 0.3), n) for k in ranks]
    shares[0][: n // 3] = shares[0][0]  # equal points, and one that no topic explains
    for one in shares:
        one[-1] = 0
    positions = layout(shares)
    assert positions.shape == (n, 2) and np.isfinite(positions).all()
    assert (positions == layout(shares)).all()
    gaps = np.linalg.norm(positions[:, None] - positions[None], axis=2) + 9 * np.eye(n)
    assert n == 1 or gaps.min() > 0.05 * dot_size(n)


def test_map_keeps_neighbors():
    shares = MODEL.shares(X, layer=0).to_numpy()
    positions = map_positions(MODEL)
    start = starting_positions(shares)
    before, after = (
        trustworthiness(np.sqrt(shares), y, n_neighbors=15) for y in (start, positions)
    )
    assert after > max(0.9, before + 0.03)
    with pytest.raises(TypeError, match="any sign"):
        map_positions(DeepSemiNMF(ranks=(4, 2), random_state=0).fit(X), X)
    with pytest.raises(TypeError, match="any sign"):
        compare(MODEL, DeepSemiNMF(ranks=(4, 2), random_state=0).fit(X))


def test_colors_of_dots_are_those_of_the_topics():
    positions = map_positions(MODEL)
    for l, colors in enumerate(topic_colors(MODEL)):
        ax = plot_map(MODEL, l, positions=positions, ax=Figure().subplots())
        largest = MODEL.document_info()[f"layer {l} topic"].to_numpy(int)
        assert np.allclose(ax.collections[0].get_facecolors(), colors[largest])
    chosen = plot_map(MODEL, 0, topic=3, positions=positions, ax=Figure().subplots())
    drawn = chosen.collections[0].get_array()
    assert np.allclose(np.sort(drawn), np.sort(MODEL.shares(X, layer=0).to_numpy()[:, 3]))
    with pytest.raises(ValueError, match="positions must have shape"):
        plot_map(MODEL, positions=positions[1:], ax=Figure().subplots())
    with pytest.raises(ValueError, match="topic must be"):
        plot_map(MODEL, 0, topic=9, positions=positions, ax=Figure().subplots())


def test_height_of_the_river_is_the_number_of_data_points():
    when = np.r_[np.full(100, 1990), np.full(300, 2000)]
    ax = plot_river(MODEL, 0, when, width=1, ax=Figure().subplots())
    at = {1990: [], 2000: [], 1995: []}
    for area in ax.collections[:9]:
        corners = area.get_paths()[0].vertices
        for year, found in at.items():
            found += corners[np.isclose(corners[:, 0], year), 1].tolist()
    heights = {year: np.ptp(found) for year, found in at.items()}
    assert heights == pytest.approx({1990: 100, 2000: 300, 1995: 0})
    one = plot_river(MODEL, 0, when, topic=2, width=1, ax=Figure().subplots())
    mean = MODEL.shares(X, layer=0).to_numpy()[100:, 2].mean()
    assert one.lines[0].get_ydata()[-1] == pytest.approx(mean)
    bars = plot_river(MODEL, 0, np.repeat(["a", "b"], 200), ax=Figure().subplots())
    assert [text.get_text() for text in bars.get_yticklabels()] == ["a (200)", "b (200)"]


def test_comparison_finds_permuted_topics_and_points_that_moved():
    A = NMF(9, random_state=0).fit(X)
    found = compare(A, A)
    assert found.came_back.shape[0] == 9 and found.moved.empty and found.n_samples == 400
    assert (found.topics["topic_a"] == found.topics["topic_b"]).all()
    assert np.allclose(found.topics["share_a"].sum(), 1)
    fewer = compare(A, NMF(6, random_state=0).fit(X), names=("nine", "six"))
    assert fewer.topics["topic_b"].notna().sum() == 6 and fewer.counts.shape == (9, 6)
    partner = {
        (a, b) for a, b in zip(fewer.came_back["topic_a"], fewer.came_back["topic_b"], strict=True)
    }
    stays = sum(fewer.counts.to_numpy()[a, b] for a, b in partner)
    assert len(fewer.moved) == 400 - stays and fewer.n_samples == 400
    assert fewer.errors["error"][0] == A.layers_[0].error
    assert f"{len(fewer.moved) / 400:.0%}" in repr(fewer) and "nine" in fewer.verdict
    assert len(plot_compare(fewer, ax=Figure().subplots()).patches) >= 15


def test_comparison_of_other_data_and_of_features_in_another_order():
    new = mixtures(100, seed=0)
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(40)])
    A = NMF(5, random_state=0).fit(frame)
    B = NMF(5, random_state=0).fit(frame.iloc[:250, ::-1])
    found = compare(A, B)
    assert found.n_samples == 0 and found.moved.empty
    assert found.topics["cosine"].min() > 0.5  # features are matched by name
    on_new = compare(A, B, frame[250:])
    assert on_new.n_samples == 150
    assert (on_new.errors["error"] >= on_new.errors["floor"] - 1e-12).all()
    with pytest.raises(ValueError, match="same features"):
        compare(A, NMF(3, random_state=0).fit(new[:, :30]))
    with pytest.raises(ValueError, match="min_cosine"):
        compare(A, B, min_cosine=2)


def test_a_map_without_numba():
    code = """import sys
sys.modules["numba"] = None
import numpy as np
from nnmf_nb.plot._map_layout import layout, map_kernels
from sklearn.manifold import trustworthiness
rng = np.random.default_rng(0)
shares = rng.dirichlet(np.full(9, 0.2), 500)
positions = layout([shares, shares[:, :3] + 1e-9])
kept = trustworthiness(np.sqrt(shares), positions, n_neighbors=15)
print(map_kernels().__name__, kept > 0.93)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["nnmf_nb.plot._map_arrays", "True"], done.stderr
