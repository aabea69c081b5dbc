"""Names and tables of topics (BB): one test per name, over six models."""

import warnings

import doors
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zoo
from sklearn.exceptions import ConvergenceWarning

import nnmf_nb
from nnmf_nb.chain._layers import Layer, topic_features, topic_shares
from nnmf_nb.models._tables import feature_scores, relative_residuals
from nnmf_nb.plot._colors import names_of

NAMES = ["NMF", "SSNMF", "GuidedNMF", "HierarchicalNMF", "DeepNMF", "NeuralNMF"]
every_model = pytest.mark.parametrize("name", NAMES)
FEATURES = [f"g{i}" for i in range(10)]
POINTS = [f"p{j}" for j in range(16)]
COUNTS = zoo.planted(16, 10)
COUNTS[5] = 0  # an empty data point
X = pd.DataFrame(COUNTS, index=POINTS, columns=FEATURES)


@pytest.fixture(scope="module")
def fitted():
    """A fitted model by name, which a test must not change."""
    return {name: zoo.fit(name, X) for name in NAMES}


def parts_by_hand(model, S, layer):
    """Mass of each topic in each data point (n_samples x k), from the matrices alone."""
    return (topic_features(model.layers_, layer).sum(axis=0)[:, None] * S).T


@every_model
def test_shares(fitted, name):
    """BB: rows add to 1, the empty one is NaN, names on both sides, and no unit matters."""
    model = fitted[name]
    for layer, one in enumerate(model.layers_):
        table = model.shares(X, layer=layer)
        assert [*table.index] == POINTS
        assert [*table.columns] == [*model.get_feature_names_out(layer=layer)]
        parts = parts_by_hand(model, model.transform(X, layer=layer).T, layer)
        full = np.arange(16) != 5
        expected = parts[full] / parts[full].sum(axis=1, keepdims=True)
        np.testing.assert_allclose(table[full], expected, rtol=1e-12)
        assert table.loc["p5"].isna().all()
        np.testing.assert_allclose(model.shares(1e-200 * X, layer)[full], expected, rtol=1e-6)
        of_fit = parts_by_hand(model, one.S, layer)[full]
        own = model.shares(layer=layer)
        assert [*own.index] == [*range(16)]
        np.testing.assert_allclose(own[full], of_fit / of_fit.sum(axis=1, keepdims=True))


@every_model
def test_rename(name, tmp_path):
    """BB: one name in tree, topics, shares, set_output, the inspector and the file; gone with the
    next fit.
    """
    model = zoo.fit(name, X)
    default = model.get_feature_names_out()[1]
    assert model.rename(-1, 1, " rare\n birds ") is model
    columns = model.set_output(transform="pandas").transform(X).columns
    assert columns[1] == model.shares(X).columns[1] == model.topics().loc[1, "name"] == "rare birds"
    assert "rare birds: " in model.tree()
    assert model.topics_of("g0").index.isin([*columns]).all()

    last = len(model.layers_) - 1
    view = nnmf_nb.inspect(model)
    assert view.names == {f"{last},1": "rare birds"}
    model.rename(last, 0, "fish")
    view.rename(last, 1, "owls")
    assert [*model.get_feature_names_out()[:2]] == ["fish", "owls"]

    nnmf_nb.save(model, tmp_path / "model.nnmf")
    again = nnmf_nb.load(tmp_path / "model.nnmf")
    assert [*again.get_feature_names_out()[:2]] == ["fish", "owls"]
    assert again.samples_of("owls").equals(again.samples_of(1))

    again.rename(-1, "owls", "fish")
    assert [*again.get_feature_names_out()[:2]] == ["fish (0)", "fish (1)"]
    again.rename(-1, 0, "").rename(-1, 1, "")
    assert again.get_feature_names_out()[1] == default and "name" not in again.topics()
    y = zoo.labels(16) if zoo.ZOO[name][2] else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(COUNTS[:, ::-1], y)
    assert model.get_feature_names_out()[1] == default
    again.topic_names_ = {(0, 0): 3}
    with pytest.raises(ValueError, match="topic_names_ does not fit"):
        nnmf_nb.save(again, tmp_path / "forged.nnmf")
    with pytest.raises(ValueError, match="topic must be an integer from 0 to"):
        model.rename(0, 99, "none")
    with pytest.raises(TypeError, match="name must be a string, got 3"):
        model.rename(0, 0, 3)


@every_model
def test_name_features(name, tmp_path):
    """BB: names given once are in tables, trees, plots, views and the file; gone with the next
    fit.
    """
    words = [f"word {i}" for i in range(10)]
    model = zoo.fit(name, COUNTS)
    assert model.name_features(words) is model
    nnmf_nb.save(model, tmp_path / "model.nnmf")
    for one in (model, nnmf_nb.load(tmp_path / "model.nnmf")):
        assert {*one.topics().iloc[0, 1:]} <= {*words, ""} and "word " in one.tree()
        assert one.topics_of("word 3").equals(one.topics_of(3))
        assert [*nnmf_nb.inspect(one).payload["features"]] != []
        assert {*nnmf_nb.inspect(one).payload["features"]} <= {*words}
        assert [*names_of(one, None)] == words
        assert one.transform(COUNTS).shape == model.transform(COUNTS).shape
    with pytest.raises(ValueError, match="10 names"):
        model.name_features(words[1:])
    model.feature_labels_ = model.feature_labels_[1:]
    with pytest.raises(ValueError, match="feature_labels_ does not fit"):
        nnmf_nb.save(model, tmp_path / "forged.nnmf")
    y = zoo.labels(16) if zoo.ZOO[name][2] else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(COUNTS[:, :9], y)
        assert {*model.topics().iloc[0, 1:]} <= {*(f"x{i}" for i in range(9)), ""}
        with pytest.raises(ValueError, match="have names since fit"):
            model.fit(X, y).name_features(words)


@every_model
def test_topic_info(fitted, name):
    """BB: a row per topic with what the other methods say of it."""
    model = fitted[name]
    table = model.topic_info(X, top=4, samples=2)
    assert [*table] == [
        *("layer", "topic", "parent", "name", "share", "size", "features", "samples")
    ]
    ranks = [one.rank for one in model.layers_]
    assert len(table) == sum(ranks)
    for layer, rows in table.groupby("layer"):
        shares = model.shares(X, layer=layer)
        assert [*rows["name"]] == [*shares.columns]
        assert rows["share"].sum() == pytest.approx(1)
        parts = parts_by_hand(model, model.transform(X, layer=layer).T, layer).sum(axis=0)
        np.testing.assert_allclose(rows["share"], parts / parts.sum(), atol=1e-12)
        strongest = shares.dropna().to_numpy().argmax(axis=1)
        assert [*rows["size"]] == [*np.bincount(strongest, minlength=ranks[layer])]
        words = model.topics(layer, top=4).filter(like="feature")
        for row, listed in zip(rows.itertuples(), words.to_numpy()):
            assert row.features == [word for word in listed if word not in ("", "(dead)")]
            assert row.samples == [*model.samples_of(row.topic, layer, X, top=2).index]
        assert rows["parent"].isna().all() == (layer == len(ranks) - 1)
    with pytest.raises(ValueError, match="samples must be an integer >= 1, got 0"):
        model.topic_info(samples=0)


@every_model
def test_document_info(fitted, name):
    """BB: the strongest topic of each layer and its share; nothing for an empty data point."""
    model = fitted[name]
    table = model.document_info(X)
    assert [*table.index] == POINTS and table.loc["p5"].isna().all()
    full = table.drop("p5")
    for layer in range(len(model.layers_)):
        shares = model.shares(X, layer=layer).drop("p5")
        assert [*full[f"layer {layer} name"]] == [*shares.idxmax(axis=1)]
        assert [*full[f"layer {layer} topic"]] == [*shares.to_numpy().argmax(axis=1)]
        assert [*full[f"layer {layer} share"]] == [*shares.max(axis=1)]


@every_model
def test_samples_of(fitted, name):
    """BB: the data points with the largest shares, and none in which the topic is not."""
    model = fitted[name]
    shares = model.shares(X)
    for topic, column in enumerate(shares):
        found = model.samples_of(column, X=X, top=99)
        expected = shares[column][shares[column] > 0].sort_values(ascending=False, kind="stable")
        assert found["share"].to_dict() == expected.to_dict()
        assert [*found.index] == [*expected.index]
        S = pd.DataFrame(model.transform(X), index=POINTS)
        np.testing.assert_array_equal(found["coefficient"], S.loc[found.index, topic])
    assert len(model.samples_of(0, top=1)) <= 1
    with pytest.raises(ValueError, match="top must be an integer >= 1"):
        model.samples_of(0, top=-1)
    with pytest.raises(ValueError, match="give X, too"):
        model.samples_of(0, mask=np.ones_like(COUNTS, bool))


@every_model
def test_topics_of(fitted, name):
    """BB: where the reconstruction of a feature comes from."""
    model = fitted[name]
    for layer, one in enumerate(model.layers_):
        Phi = topic_features(model.layers_, layer)
        found = model.topics_of("g3", layer=layer)
        made = Phi[3] * one.S.sum(axis=1)
        expected = pd.Series(made / made.sum(), model.get_feature_names_out(layer=layer))
        np.testing.assert_allclose(found["share"], expected[found.index])
        assert found["share"].sum() == pytest.approx(1)
        assert found["share"].is_monotonic_decreasing
        own = pd.Series(Phi[3] / Phi.sum(axis=0), expected.index)
        np.testing.assert_allclose(found["weight"], own[found.index])
    assert model.topics_of(3).equals(model.topics_of("g3"))
    assert model.topics_of("third", features=[*"abc", "third", *"efghij"]).equals(
        model.topics_of(3)
    )
    with pytest.raises(ValueError, match="feature must be one of the names of the 10 features"):
        model.topics_of("g10")
    with pytest.raises(ValueError, match="is the name of 2 features"):
        model.topics_of("a", features=[*"aabcdefghi"])


@every_model
@pytest.mark.parametrize("by", ["weight", "relevance", "frex", "zscore"])
def test_topics_by(fitted, name, by):
    """BB: four orders of the same features; only 'weight' is what it was."""
    model = fitted[name]
    table = model.topics(0, top=10, by=by)
    plain = model.topics(0, top=10)
    for ranked, weighted in zip(table.to_numpy(), plain.to_numpy()):
        assert {*ranked[1:]} == {*weighted[1:]}
    scores = feature_scores(model.layers_, 0, by)
    for topic, row in enumerate(table.filter(like="feature").to_numpy()):
        order = [FEATURES.index(word) for word in row if word in FEATURES]
        assert (np.diff(scores[order, topic]) <= 1e-9).all()
    if by == "weight":
        assert table.equals(plain)
    with pytest.raises(ValueError, match="by must be 'weight', 'relevance', 'frex' or 'zscore'"):
        model.topics(by="lift")


def test_scores_of_features():
    """BB: the three scores by hand, for a topic with a common and a particular feature."""
    A = np.array([[3.0, 3.0], [2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    S = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]])
    layers = [Layer(A, S, 0.0, 0.0, 0.0, 0, [], [])]
    phi, p = A / 6, A @ S.sum(axis=1) / (A @ S).sum()
    with np.errstate(divide="ignore"):
        expected = 0.6 * np.log(phi) + 0.4 * np.log(phi / p[:, None])
    np.testing.assert_allclose(feature_scores(layers, 0, "relevance"), expected)
    # feature 1: third of four by frequency, first by exclusivity
    assert feature_scores(layers, 0, "frex")[1, 0] == pytest.approx(2 / (4 / 3 + 1))
    made = A @ S
    alone = A / 6 * made.sum(axis=0).mean()
    expected = (alone - made.mean(axis=1)[:, None]) / made.std(axis=1)[:, None]
    np.testing.assert_allclose(feature_scores(layers, 0, "zscore"), expected, atol=1e-12)
    assert feature_scores(layers, 0, "zscore")[:, 0].argmax() == 1
    assert topic_shares(layers, 0) == pytest.approx([3 / 5, 2 / 5])


@every_model
def test_residuals(fitted, name):
    """BB: per data point and per feature, by names, sparse, hidden entries and scales included."""
    model = fitted[name]
    for layer in range(len(model.layers_)):
        made = model.transform(X, layer=layer) @ topic_features(model.layers_, layer).T
        left = model.residuals(X, layer=layer)
        with np.errstate(invalid="ignore"):
            rows, columns = (
                np.linalg.norm(COUNTS - made, axis=a) / np.linalg.norm(COUNTS, axis=a)
                for a in (1, 0)
            )
        np.testing.assert_allclose(left.samples, rows, rtol=1e-9)
        np.testing.assert_allclose(left.features, columns, rtol=1e-9)
        assert [*left.samples.index] == POINTS and [*left.features.index] == FEATURES
        assert np.isnan(left.samples["p5"])
    tiny = model.residuals(1e-200 * X)
    np.testing.assert_allclose(tiny.features, model.residuals(X).features, rtol=1e-6)
    known = np.ones_like(COUNTS, bool)
    known[0, 0] = False
    spoiled = X.copy()
    spoiled.iloc[0, 0] = 1e6
    np.testing.assert_allclose(
        model.residuals(spoiled, mask=known).samples, model.residuals(X, mask=known).samples
    )


def test_residuals_come_block_by_block():
    """BB: blocks of any size and sparse X give the same numbers."""
    model = zoo.fit("NMF", COUNTS)
    Phi, S = topic_features(model.layers_), model.layers_[0].S
    whole = relative_residuals(COUNTS, None, Phi, S)
    for data, cells in ((COUNTS, 1), (sp.csr_array(COUNTS), 50), (sp.csc_matrix(COUNTS), 10**6)):
        for one, other in zip(relative_residuals(data, None, Phi, S, cells), whole):
            np.testing.assert_allclose(one, other)


@pytest.mark.parametrize("name", zoo.TENSORS)
def test_layers_and_names_of_tensor_models(name, tmp_path):
    """BB: transform of all layers, in data frames, before and after a file."""
    model = zoo.fit(name, X)
    found = model.transform(X, layer="all")
    assert len(found) == len(model.layer_ranks())
    for layer, S in enumerate(found):
        assert np.array_equal(S, model.transform(X, layer=layer))
    nnmf_nb.save(model, tmp_path / "m")
    for one in (model, nnmf_nb.load(tmp_path / "m")):
        tables = one.set_output(transform="pandas").transform(X, layer="all")
        names = [[*one.get_feature_names_out(layer=layer)] for layer in range(len(tables))]
        assert names == [[*table.columns] for table in tables]
        assert [*tables[-1].index] == POINTS
    with pytest.raises(ValueError, match="layer must be an integer"):
        model.transform(X, layer="every")


@every_model
def test_transform_all_layers(fitted, name):
    """BB: one array per layer, the same bits as layer by layer, also as data frames."""
    model = fitted[name]
    found = model.transform(X, layer="all")
    assert len(found) == len(model.layers_)
    for layer, S in enumerate(found):
        assert np.array_equal(S, model.transform(X, layer=layer))
    again = zoo.fit(name, X).set_output(transform="pandas")
    for layer, table in enumerate(again.transform(X, layer="all")):
        assert [*table.columns] == [*again.get_feature_names_out(layer=layer)]
        assert [*table.index] == POINTS
    with pytest.raises(ValueError, match="layer must be an integer"):
        model.transform(X, layer="every")


@pytest.mark.parametrize("name", ["DeepSemiNMF", "NonlinearSemiNMF", "SparseCodingNetwork"])
def test_transform_all_layers_of_signed_data(name):
    """BB: two of these models gave the last layer alone, in a list."""
    model = doors.fit(name, doors.data())
    found = model.transform(doors.data(), layer="all")
    assert [S.shape[1] for S in found] == [*model.layer_ranks()]
    for layer, S in enumerate(found):
        assert np.array_equal(S, model.transform(doors.data(), layer=layer))
    with pytest.raises(ValueError, match="layer must be an integer"):
        model.transform(doors.data(), layer="every")


# --- what scikit-learn calls things ---------------------------------------------------------------


def test_inverse_transform_by_scikit_learns_name():
    """AA: X= beside the name of each model, in every model that has it; never both, never none."""
    for name in zoo.EVERY:
        model = zoo.fit(name, COUNTS)
        S = model.transform(COUNTS)
        assert np.array_equal(model.inverse_transform(X=S), model.inverse_transform(S))
        for given in ({}, {"X": S}):
            with pytest.raises(TypeError, match="needs coefficients, once"):
                model.inverse_transform(None if not given else S, **given)


@pytest.mark.parametrize("model", [nnmf_nb.NMF, nnmf_nb.SSNMF])
def test_starts_without_custom_warn(model):
    """AA: W and H are ignored with scikit-learn's RuntimeWarning unless init='custom'."""
    W, H = np.ones((16, 2)), np.ones((2, 10))
    with pytest.warns(RuntimeWarning, match="W and H are ignored"):
        found = model(2, random_state=0, max_iter=500).fit(COUNTS, W=W, H=H)
    expected = model(2, random_state=0, max_iter=500).fit(COUNTS)
    assert np.array_equal(found.components_, expected.components_)


def test_coefficients_as_lists():
    """W: S0, S and dS may be lists or data frames."""
    A = np.random.default_rng(0).random((6, 3))
    S = nnmf_nb.nnls(A, A @ A[:3])
    for given in (S.tolist(), pd.DataFrame(S)):
        assert np.array_equal(nnmf_nb.nnls(A, A @ A[:3], S0=given), S)
        assert np.array_equal(
            nnmf_nb.nnls_vjp(A, A @ A[:3], given, given).A, nnmf_nb.nnls_vjp(A, A @ A[:3], S, S).A
        )
        assert nnmf_nb.kkt_residual(A, A @ A[:3], given).max() < 1e-10
    with pytest.raises(ValueError, match="S0 must have shape"):
        nnmf_nb.nnls(A, A, S0=[[1.0, 2.0]])


# --- plots ----------------------------------------------------------------------------------------


def test_fonts_for_labels_that_need_them():
    """BB: labels get an installed font that has their letters, others keep theirs; what none has
    draws one warning that names it.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from nnmf_nb.plot import plot_by_group, plot_tree

    model = zoo.fit("NMF", COUNTS)
    with rc_context({"font.family": "STIXGeneral"}):  # has no Arabic; DejaVu Sans has
        before = zoo.fit("HierarchicalNMF", COUNTS)
        ax = plot_tree(before, features=["باب", *FEATURES[1:]], top=10, ax=Figure().subplots())
        families = {t.get_text(): t.get_fontfamily() for t in ax.findobj(Text)}
        assert any(len(f) > 1 for t, f in families.items() if "باب" in t)
        assert all(f == ["STIXGeneral"] for t, f in families.items() if "باب" not in t)
    unknown = "\U00013000\U0001d2e0"  # hieroglyphs and Mayan numerals
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        plot_by_group(model, [unknown] * 16, ax=Figure().subplots())
    (message,) = [str(w.message) for w in seen if not issubclass(w.category, DeprecationWarning)]
    assert message.startswith("No installed font has 2 characters o")
    assert "EGYPTIAN HIEROGLYPH A001" in message
