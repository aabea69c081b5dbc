"""Bridges (issue 23), each against the installed library: `pip install nnmf_nb[bridges]`."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import Pipeline

from nnmf_nb import NMF, DeepSemiNMF, NeuralNMF, datasets, fit_texts, inspect
from nnmf_nb.bridges import fit_anndata, gensim_matrix, pyldavis_arguments, xarray_frame
from nnmf_nb.evaluation.hierarchy_metrics import window_coherence

COUNTS = datasets.planted_counts(n_samples=40, n_features=30, ranks=(4, 2), random_state=0).X
TEXTS = [*datasets.gene_ontology().text[:60], ""]


def annotated(X=COUNTS):
    """An AnnData with names, a layer, and types of half of its cells."""
    anndata = pytest.importorskip("anndata")
    n, m = X.shape
    # of objects: anndata 0.12 does not write the text columns of pandas 3 by default
    cells = pd.Index([f"cell {i}" for i in range(n)], dtype=object)
    genes = pd.Index([f"gene {j}" for j in range(m)], dtype=object)
    types = pd.Categorical(pd.Series(["T", None] * (n // 2), dtype=object))
    obs, var = pd.DataFrame({"type": types}, index=cells), pd.DataFrame(index=genes)
    return anndata.AnnData(np.log1p(X), obs, var, layers={"counts": X})


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_anndata(kind, tmp_path):
    """The results are those of a fit by hand, and survive a file."""
    anndata = pytest.importorskip("anndata")
    adata = annotated(kind(COUNTS.toarray() if sp.issparse(COUNTS) else COUNTS))
    model = fit_anndata(adata, NeuralNMF((4, 2), random_state=0), layer="counts")
    by_hand = NeuralNMF((4, 2), random_state=0).fit(adata.layers["counts"])
    assert np.array_equal(model.components_, by_hand.components_)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    again = anndata.read_h5ad(tmp_path / "cells.h5ad")
    for l in (0, 1):
        coefficients = by_hand.transform(adata.layers["counts"], layer=l)
        assert np.array_equal(again.obsm[f"X_nnmf_layer{l}"], coefficients)
    assert np.array_equal(again.obsm["X_nnmf"], again.obsm["X_nnmf_layer1"])
    assert np.allclose(again.varm["nnmf"], by_hand.components_.T)
    assert np.allclose(
        again.varm["nnmf_layer0"] @ again.uns["nnmf"]["flow_layer1"], again.varm["nnmf"]
    )
    assert again.uns["nnmf"]["params"]["ranks"] == "(4, 2)"
    assert np.allclose(again.uns["nnmf"]["errors"], [layer.error for layer in by_hand.layers_])
    view = inspect(model, again.layers["counts"], again.var_names, again.obs_names)
    assert "gene" in view.data["features"].iloc[0]


def test_anndata_views_backed_files_and_labels(tmp_path):
    anndata = pytest.importorskip("anndata")
    for X in (COUNTS.toarray() if sp.issparse(COUNTS) else COUNTS, sp.csr_matrix(COUNTS)):
        adata = annotated(X)
        adata.write_h5ad(tmp_path / "cells.h5ad")
        backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
        model = fit_anndata(backed, NMF(3, random_state=0))
        assert np.array_equal(model.components_, NMF(3, random_state=0).fit(adata.X).components_)
        backed.file.close()
    part = adata[:20, :10].copy()
    model = fit_anndata(part, NeuralNMF((3, 2), random_state=0), labels="type", key="own")
    assert [*model.classes_] == ["T"] and part.obsm["X_own"].shape == (20, 2)


@pytest.mark.parametrize(
    "model, given, message",
    [
        (NMF(2), dict(layer="raw"), r"no layer 'raw'. Its layers are: 'counts'"),
        (NMF(2), dict(labels="kind"), r"no column 'kind'. Its columns are: 'type'"),
        (NMF(2), dict(layer="scaled"), r"adata.layers\['scaled'\]: Negative values"),
    ],
)
def test_faults_of_anndata(model, given, message):
    adata = annotated()
    before = {*adata.obsm}, {*adata.varm}, {*adata.uns}
    if given.get("layer") == "scaled":
        adata.layers["scaled"] = np.full(adata.shape, -1.0)
        adata.layers.pop("counts")
    with pytest.raises(ValueError, match=message):
        fit_anndata(adata, model, **given)
    assert before == ({*adata.obsm}, {*adata.varm}, {*adata.uns})


def test_what_is_no_anndata():
    with pytest.raises(TypeError, match="adata must be an AnnData, got ndarray"):
        fit_anndata(COUNTS if isinstance(COUNTS, np.ndarray) else COUNTS.toarray(), NMF(2))


def test_gensim(tmp_path):
    """Dictionary, MmCorpus and TfidfModel; coherence of the topics that come back."""
    corpora = pytest.importorskip("gensim.corpora")
    models = pytest.importorskip("gensim.models")
    matutils = pytest.importorskip("gensim.matutils")
    tokens = [text.lower().split() for text in TEXTS]
    dictionary = corpora.Dictionary(tokens)
    dictionary.filter_extremes(no_below=3, no_above=0.5)
    corpus = [dictionary.doc2bow(text) for text in tokens]
    X, terms = gensim_matrix(corpus, dictionary)
    wanted = matutils.corpus2dense(corpus, num_terms=len(dictionary)).T
    assert np.array_equal(X.toarray(), wanted) and terms == [
        dictionary[j] for j in range(len(terms))
    ]
    corpora.MmCorpus.serialize(str(tmp_path / "corpus.mm"), corpus)
    assert (
        gensim_matrix(corpora.MmCorpus(str(tmp_path / "corpus.mm")), dictionary)[0] != X
    ).nnz == 0
    weighted, _ = gensim_matrix(models.TfidfModel(corpus)[corpus], dictionary)
    assert weighted.shape == X.shape and weighted.max() < 1
    topics = NMF(3, random_state=0).fit(X).topics(features=terms, top=5).iloc[:, 1:]
    coherence = models.CoherenceModel(
        topics=topics.values.tolist(), corpus=corpus, dictionary=dictionary, coherence="u_mass"
    )
    assert np.isfinite(coherence.get_coherence())


@pytest.mark.parametrize("measure", ["c_v", "c_npmi"])
def test_window_coherence_is_that_of_gensim(measure):
    """Texts that are one window each: in longer ones gensim 4.4 loses words that come twice."""
    corpora = pytest.importorskip("gensim.corpora")
    models = pytest.importorskip("gensim.models")
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(40)]
    part = rng.dirichlet(np.full(40, 5.0))
    texts = [rng.choice(words, size=rng.integers(1, 80), p=part).tolist() for _ in range(50)]
    texts.append(words)
    topics = [rng.choice(words, size=8, replace=False).tolist() for _ in range(5)]
    found = window_coherence(topics, texts, measure, window=80)
    theirs = models.CoherenceModel(
        topics=topics,
        texts=texts,
        dictionary=corpora.Dictionary([words]),
        topn=8,
        coherence=measure,
        window_size=80,
        processes=1,
    ).get_coherence_per_topic()
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-12)


def test_gensim_without_gensim():
    """Numbers with gaps; a dictionary of another corpus."""
    X, terms = gensim_matrix([[(7, 1.5)], [], [(2, 1), (7, 2)]], {7: "b", 2: "a"})
    assert X.toarray().tolist() == [[0, 1.5], [0, 0], [1, 2]] and terms == ["a", "b"]
    with pytest.raises(ValueError, match="document 1 has term 9, which the dictionary of 1"):
        gensim_matrix([[(0, 1)], [(9, 1)]], {0: "a"})


def test_xarray():
    xarray = pytest.importorskip("xarray")
    values = np.random.default_rng(0).random((3, 10, 2))
    array = xarray.DataArray(
        values,
        dims=("band", "day", "site"),
        coords={"band": [450, 550, 650], "site": ["north", "south"], "day": pd.RangeIndex(10)},
    )
    frame = xarray_frame(array, "day")
    assert frame.shape == (10, 6) and frame.columns[1] == "band=450, site=south"
    assert np.array_equal(frame["band=650, site=north"], values[2, :, 0])
    model = NMF(2, random_state=0).fit(frame)
    assert model.feature_names_in_[0] == "band=450, site=north"
    flat = xarray_frame(array[:, :, 0])
    assert [*flat.index] == [450, 550, 650] and [*flat.columns[:2]] == ["0", "1"]
    with pytest.raises(ValueError, match="no dimension 'time'; they are: band, day, site"):
        xarray_frame(array, "time")
    with pytest.raises(ValueError, match="no features"):
        xarray_frame(array[0, :, 0])


def test_polars():
    """Names are read, a wrong column is refused, results come back as a frame of polars."""
    polars = pytest.importorskip("polars")
    X = np.random.default_rng(0).random((12, 4))
    frame = polars.DataFrame(X, schema=[*"abcd"])
    model = NeuralNMF((3, 2), random_state=0).fit(frame)
    assert [*model.feature_names_in_] == [*"abcd"]
    assert {*inspect(model, frame).payload["features"]} == {*"abcd"}
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame.rename({"a": "z"}))
    out = model.set_output(transform="polars").transform(frame)
    assert isinstance(out, polars.DataFrame) and out.columns == ["neuralnmf0", "neuralnmf1"]
    lower = model.transform(frame, layer=0)
    assert lower.columns[0] == "neuralnmf_layer0_0"
    values = frame.to_numpy()  # column by column in memory, which decides how products are rounded
    by_hand = NeuralNMF((3, 2), random_state=0).fit(values)
    assert np.array_equal(out.to_numpy(), by_hand.transform(values))
    texts = polars.DataFrame({"text": TEXTS})
    pipeline = fit_texts(texts["text"], 2)
    assert np.array_equal(pipeline.transform(TEXTS), fit_texts(TEXTS, 2).transform(TEXTS))


@pytest.mark.parametrize("layer", [0, -1])
def test_pyldavis(layer):
    """`prepare` takes what we give; shares of topics are those of the explained counts."""
    pyldavis = pytest.importorskip("pyLDAvis")
    pipeline = fit_texts(TEXTS, (5, 3), weighting="counts")
    given = pyldavis_arguments(pipeline, TEXTS, layer=layer)
    assert len(given["doc_lengths"]) == len(TEXTS) - 1  # one text is empty
    prepared = pyldavis.prepare(**given, n_jobs=1, sort_topics=False)
    freq = prepared.topic_coordinates["Freq"].to_numpy()
    assert np.isclose(freq.sum(), 100) and len(freq) == (5 if layer == 0 else 3)
    assert "cell" in {*prepared.topic_info["Term"]}


def test_pyldavis_arguments_without_pyldavis():
    """The mean of terms by topics and documents is the reconstruction, document by document."""
    X = sp.csr_array(COUNTS, dtype=float)
    model = NeuralNMF((4, 2), random_state=0).fit(X)
    names = [f"w{j}" for j in range(X.shape[1])]
    given = pyldavis_arguments(model, X, names, layer=0)
    rebuilt = model.inverse_transform(model.transform(X, layer=0), layer=0)
    mixed = given["doc_topic_dists"] @ given["topic_term_dists"]
    is_explained = rebuilt.sum(axis=1) > 0
    wanted = rebuilt[is_explained] / rebuilt[is_explained].sum(axis=1, keepdims=True)
    assert np.allclose(mixed[is_explained], wanted)
    with pytest.raises(ValueError, match="give them as features="):
        pyldavis_arguments(model, X)
    with pytest.raises(ValueError, match="features has 1 names"):
        pyldavis_arguments(model, X, ["a"])


def test_columns_of_hugging_face_datasets():
    """A column of texts is taken as it is; a whole data set is none, which is said."""
    tables = pytest.importorskip("datasets")
    table = tables.Dataset.from_dict({"text": TEXTS, "kind": [0] * len(TEXTS)})
    pipeline = fit_texts(table["text"], (4, 2))
    assert np.array_equal(
        pipeline.transform(table["text"]), fit_texts(TEXTS, (4, 2)).transform(TEXTS)
    )
    assert len(inspect(pipeline, table["text"]).data) == 6
    with pytest.raises(ValueError, match=r"records with the fields text, kind: give one column"):
        fit_texts(table)


def test_triples_are_pipelines():
    """(documents, vectorizer, model), fitted one by one, as BERTopic and topicwizard keep them."""
    vectorizer = CountVectorizer(min_df=2).fit(TEXTS)
    model = NeuralNMF((4, 2), random_state=0).fit(vectorizer.transform(TEXTS))
    pipeline = Pipeline([("words", vectorizer), ("topics", model)])
    assert np.array_equal(pipeline.transform(TEXTS), model.transform(vectorizer.transform(TEXTS)))
    features = {*inspect(pipeline, TEXTS).payload["features"]}
    assert features <= {*vectorizer.get_feature_names_out()}


def test_a_model_without_nonnegative_layers():
    adata = annotated()
    with pytest.raises(TypeError, match="DeepSemiNMF has no nonnegative layers"):
        fit_anndata(adata, DeepSemiNMF((3, 2), random_state=0))
    assert not adata.obsm
