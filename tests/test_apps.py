"""The app (issue 19): what is understood of files, what is refused, and the form without a
browser. Excel and AnnData need the extra `app`.
"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from PIL import Image

from nnmf_nb import datasets, load
from nnmf_nb.apps import _files
from nnmf_nb.apps._files import described, read, suggested_words, understand
from nnmf_nb.apps._form import NOTHING, App, preview
from nnmf_nb.apps._work import make_model, prepared, ranks_of_data, topic_table

TERMS = datasets.gene_ontology()
TEXTS = [*TERMS.text[:60]]


def taken(path, **given):
    reading = understand([path], **given)
    return reading, read([path], reading)


def table_of_texts():
    return pd.DataFrame({"term": TERMS.samples[:60], "text": TEXTS, "n": range(5, 65)})


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_separators_and_encodings(separator, encoding, tmp_path):
    path = tmp_path / "table.csv"
    table = table_of_texts()
    table.loc[0, "text"] = 'a café; with, all\tthat | "separates" cells'
    table.to_csv(path, sep=separator, encoding=encoding, index=False)
    reading, source = taken(path)
    assert (reading.separator, reading.encoding) == (separator, encoding)
    assert (reading.texts, reading.names, reading.header) == ("text", "term", True)
    assert source.data.texts == table["text"].tolist()
    assert source.data.names == table["term"].tolist()


def test_a_column_of_texts_alone(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text\nred apples, green pears and plums\ntall old trees, all of them\n")
    reading, source = taken(path)
    assert source.data.texts[1] == "tall old trees, all of them" and reading.texts == "text"
    # without a header
    path.write_text(
        "red apples, green pears, plums and some more of them, all of them in one big "
        "basket\ntall old trees\n"
    )
    reading, source = taken(path)
    assert not reading.header and len(source.data.texts) == 2


@pytest.mark.parametrize(
    "content, wanted",
    [
        ("name,red,green\na,1,2\nb,0,3\n", ("name", ["red", "green"], [[1, 2], [0, 3]])),
        ("0.0,0.0\n3,4\n5,6\n", (None, ["column 1", "column 2"], [[0, 0], [3, 4], [5, 6]])),
        (",red,green\n0,1,2\n1,0,3\n", ("column 1", ["red", "green"], [[1, 2], [0, 3]])),
        ("n;rot;gelb\na;1,5;2\nb;1.000,5;\n", ("n", ["rot", "gelb"], [[1.5, 2], [1000.5, np.nan]])),
        ("id,kind,red\n1,x,7\n2,x,8\n", ("id", ["red"], [[7], [8]])),
        ("0,5;0,3\n1,5;2,5\n", (None, ["column 1", "column 2"], [[0.5, 0.3], [1.5, 2.5]])),
        ("1,2\n3,4\n", (None, ["column 1", "column 2"], [[1, 2], [3, 4]])),
    ],
)
def test_tables_of_numbers(content, wanted, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(content)
    reading, source = taken(path)
    assert reading.texts is None
    np.testing.assert_array_equal(source.data.X, wanted[2])
    assert (reading.names, source.data.features) == wanted[:2]
    assert ("left out" in " ".join(described(reading, source))) == ("kind" in content)


def test_corrections_win_over_guesses(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("1990,1991\n3,4\n5,6\n")
    assert read([path], understand([path])).data.X.shape == (3, 2)
    reading = understand([path], header=True, names="1990")
    source = read([path], reading)
    assert source.data.features == ["1991"] and source.data.names == ["3", "5"]
    assert understand([path], separator=";").separator == ";"


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.csv", "x,y\n1,2\n-1,3\n", "a.csv, row 3, column 'x': '-1' is no number >= 0"),
        ("a.csv", "x,y\n1,2\n1,inf\n", "a.csv, row 3, column 'y': 'inf'"),
        ("a.csv", "x,y\n1,2\n2,3\n4,z\n", "a.csv, row 4, column 'y': 'z'"),
        ("a.jsonl", '{"text": "b"}\n{"text": \n', "a.jsonl, line 2: no JSON"),
        ("a.csv", " \n", "a.csv is empty"),
        ("a.csv", "", "a.csv is empty"),
        ("a.csv", "x,y\n", "a.csv has no row of data"),
        ("a.csv", 'x,"y\n1,2\n3,4', "a.csv: "),
        ("a.pdf", "", "a.pdf: only .csv"),
        ("a.xlsx", "x,y", "a.xlsx"),
        ("a.zip", "PK", "a.zip: "),
        ("a.npz", "PK", "a.npz: "),
        ("a.mtx", "%%MatrixMarket matrix coordinate real general\n400000000 3 1\n1 2 5.0\n",
         "a.mtx: the file has 68 bytes and asks for 48,000"),
        ("a.mtx", "%%MatrixMarket matrix coordinate complex general\n2 3 1\n1 2 5.0 1.0\n",
         "a.mtx: the matrix is complex"),
        ("a.png", "no picture", "a.png cannot be read as a picture"),
    ],
)  # fmt: skip
def test_errors_name_file_and_place(name, content, said, tmp_path):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError) as error:
        taken(path)
    assert str(error.value).startswith(said) and str(tmp_path) not in str(error.value)


def test_sizes_are_bounded_before_reading(tmp_path, monkeypatch):
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(_files.LARGEST_TABLE + 1)
    monkeypatch.setattr(type(path), "read_bytes", lambda *_: pytest.fail("the file was read"))
    with pytest.raises(ValueError, match=r"large.csv has 200 MB; at most 200 MB are read here"):
        understand([path])


def test_large_pictures_are_refused_by_their_header(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("1", (8000, 7000)).save(path)
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ValueError, match="large.png has 8000 x 7000 pixels; at most 50 million"):
        understand([path])


def save_digits(folder, count, dark_on_white=False):
    for i, row in enumerate(datasets.digits().X[:count] / 16):
        gray = 255 * (1 - row if dark_on_white else row).reshape(8, 8)
        Image.fromarray(gray.astype("uint8")).save(folder / f"{i}.png")
    return [folder / f"{i}.png" for i in range(count)]


@pytest.mark.parametrize("dark_on_white", [False, True])
def test_pictures(dark_on_white, tmp_path):
    paths = save_digits(tmp_path, 6, dark_on_white)
    Image.new("L", (16, 16), 255 * dark_on_white).save(paths[5])
    reading = understand(paths)
    source = read(paths, reading)
    assert reading.invert == dark_on_white and source.shape == (8, 8)
    np.testing.assert_allclose(source.data.X[:5], datasets.digits().X[:5] / 16, atol=1 / 255)
    assert not source.data.X[5].any() and "1 of another size" in " ".join(source.remarks)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in paths:
            archive.write(path, f"folder/{path.name}")
    again = taken(tmp_path / "all.zip")[1]
    np.testing.assert_array_equal(again.data.X, source.data.X)
    assert again.data.names == [str(i) for i in range(6)]


def test_texts_in_files_and_matrices(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text(TEXTS[i])
    paths = sorted(tmp_path.glob("*.txt"))
    source = read(paths, understand(paths))
    assert source.data.texts == TEXTS[:3] and source.data.names == ["0", "1", "2"]
    with pytest.raises(ValueError, match="must all be texts"):
        understand([*paths, tmp_path / "a.csv"])
    X = sp.random_array((9, 7), density=0.4, rng=0, format="csr")
    sp.save_npz(tmp_path / "X.npz", X)
    np.testing.assert_array_equal(taken(tmp_path / "X.npz")[1].data.X.toarray(), X.toarray())
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"t": one, "n": 1}) for one in TEXTS))
    assert taken(tmp_path / "a.jsonl")[1].data.texts == TEXTS


def test_excel(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "book.xlsx"
    numbers = pd.DataFrame({"name": ["a", "b"], "red": [1.5, 2], "green": [0, np.nan]})
    with pd.ExcelWriter(path) as book:
        table_of_texts().to_excel(book, sheet_name="first", index=False)
        numbers.to_excel(book, sheet_name="second", index=False)
    reading, source = taken(path)
    assert (reading.texts, reading.names) == ("text", "term") and source.data.texts == TEXTS
    reading, source = taken(path, sheet="second")
    np.testing.assert_array_equal(source.data.X, [[1.5, 0], [2, np.nan]])
    assert _files.sheets_of(path) == ["first", "second"] and source.data.names == ["a", "b"]


def test_anndata(tmp_path, monkeypatch):
    anndata = pytest.importorskip("anndata")
    counts = sp.random_array((9, 7), density=0.4, rng=0, format="csr")
    adata = anndata.AnnData(-counts.toarray(), layers={"counts": sp.csr_matrix(counts)})
    adata.var_names = [f"gene {j}" for j in range(7)]
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path)
    with pytest.raises(ValueError, match="cells.h5ad: adata.X has numbers below 0"):
        taken(path)
    source = taken(path, layer="counts")[1]
    np.testing.assert_array_equal(source.data.X.toarray(), counts.toarray())
    assert source.data.features[0] == "gene 0" and _files.layers_of(path) == ["counts"]
    monkeypatch.setattr(datasets, "SMALLEST_LIMIT", 1)
    monkeypatch.setattr(datasets, "TIMES_THE_FILE", 0)
    with pytest.raises(ValueError, match="cells.h5ad: the file has .* and asks for"):
        taken(path)


def test_previews_escape_what_is_in_files(tmp_path):
    wrong = "<img src=x onerror=alert(1)>"
    path = tmp_path / "a.csv"
    table_of_texts().assign(text=wrong * 3).rename(columns={"n": wrong}).to_csv(path, index=False)
    reading, source = taken(path)
    shown = preview(path.name, source, reading)
    assert "<img" not in shown and "&lt;img src=x" in shown
    said = App._alert(ValueError(wrong))
    assert "<img" not in said


def test_words_that_suit_the_language():
    assert suggested_words(TEXTS)["stop_words"] == "english"
    german = ["Der Apfel fällt nicht weit vom Stamm, und die Birne auch nicht."] * 30
    assert suggested_words(german)["stop_words"] is None
    assert suggested_words(["红苹果", "青苹果"])["analyzer"] == "char"


@pytest.mark.exhaustive  # twenty fits
def test_ranks_of_planted_data():
    """Six topics that come back are found; data with gaps are refused."""
    rng = np.random.default_rng(0)
    X = rng.dirichlet(np.full(6, 0.1), 200) @ rng.dirichlet(np.full(40, 0.1), 6)
    ranks, reason = ranks_of_data(X)
    assert ranks[0] == 6 and reason.startswith("6 topics come back")
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="without gaps"):
        ranks_of_data(X)


def upload(app, *files):
    app.upload.value = tuple({"name": name, "content": content} for name, content in files)


@pytest.fixture
def quiet(monkeypatch):
    """No output of live views among the lines of tests."""
    monkeypatch.setattr("sys.stdout", io.StringIO())


def test_the_main_path_without_a_browser(tmp_path, quiet):
    app = App()
    assert "toy" in app.using.value and app.words_box.layout.display == "none"
    assert app.data.layout.display is None and app.ranks.layout.display is None
    assert all(one.layout.display == "none" for one in app.corrections.values())
    content = table_of_texts().to_csv(index=False).encode()
    upload(app, ("C:\\data\\terms.csv", content))
    assert "terms.csv" in app.using.value and app.words_box.layout.display is None
    app.kind.value, app.ranks.value = "hierarchical", "5, 2"
    app.words["more"].value = "\"cell\",\n'protein'"  # as lists of stop words are pasted
    app.run()
    assert app.message.value == ""
    given = app.prepared()
    assert not {"cell", "protein", "the"} & {*given.features} and "nucleus" in given.features
    page = app.result.outputs[0]["data"]["text/plain"] if app.result.outputs else ""
    assert "Traceback" not in page
    from nnmf_nb.apps._work import files_of

    files = files_of(app.view, app.source, given)
    (tmp_path / "model").write_bytes(files["model.safetensors"])
    pipeline = load(tmp_path / "model")
    table = pd.read_csv(io.BytesIO(files["coefficients.csv"]), index_col=0)
    np.testing.assert_allclose(table.iloc[:, 5:], pipeline.transform(TEXTS), atol=1e-12)
    assert len(pd.read_csv(io.BytesIO(files["topics.csv"]))) == 7
    # what was fitted stays visible, and can be put away
    app.remove.click()
    assert "terms.csv" not in app.using.value and app.upload.value == ()
    upload(app, ("b.csv", b"x,y\n1,2\n-1,3\n"))
    assert "row 3, column" in app.understood.value and app.source is None
    app.run()
    assert "cannot be read yet" in app.message.value
    app.data.value = "handwritten digits"  # who chooses from the list wants that
    assert "digits" in app.using.value and app.source.shape == (8, 8)


def test_files_of_folders_keep_apart():
    """Files of one name in two folders are two; no name leads out of the app's own folder."""
    app = App()
    names = ["d/a/x.txt", "d/b/x.txt", "../../y.txt", "/etc/z.txt", "C:\\w.txt"]
    upload(app, *((name, f"text of {name}".encode()) for name in names))
    assert app.source.data.texts == [f"text of {name}" for name in names]
    folder = Path(app.folder.name).resolve()
    assert len({*app.paths}) == 5
    assert all(folder in path.resolve().parents for path in app.paths)


@pytest.mark.parametrize(
    "work",
    [
        lambda app: upload(app, ("terms.csv", table_of_texts().to_csv(index=False).encode())),
        lambda app: upload(app, ("b.csv", b"x,y\n1,2\n-1,3\n")),  # cannot be read
        lambda app: app.suggest.click(),
    ],
    ids=["texts", "unreadable", "suggest"],
)
def test_nobody_types_where_a_suggestion_is_awaited(work):
    app = App()
    seen = []
    app.ranks.observe(lambda change: seen.append(("disabled", change.new)), "disabled")
    app.ranks.observe(lambda change: seen.append(("suggested", app.ranks.disabled)), "value")
    work(app)
    assert (seen[0], seen[-1]) == (("disabled", True), ("disabled", False))
    assert ("suggested", False) not in seen


def test_corrections_of_the_form():
    app = App()
    upload(app, ("terms.csv", table_of_texts().to_csv(index=False).encode()))
    assert app.corrections["texts"].value == "text"
    assert app.corrections["labels"].label == "none"  # and not an empty field
    app.corrections["names"].value = NOTHING
    assert app.source.data.names is None and app.reading.texts == "text"
    app.corrections["texts"].value = NOTHING
    assert app.reading.texts is None and app.source.data.features == ["n"]
    app.corrections["header"].value = False  # other columns: guessed anew
    assert app.reading.texts == "column 2" and len(app.source.data.texts) == 61


def test_labels_and_gaps_reach_the_model(quiet, tmp_path):
    path = tmp_path / "a.csv"
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((30, 5)), columns=[*"abcde"]).assign(kind=["x", "y", ""] * 10)
    table.loc[3, "b"] = np.nan
    table.to_csv(path, index=False)
    source = taken(path, labels="kind")[1]
    from nnmf_nb.apps._work import fit_and_watch

    given = prepared(source, {})
    view = fit_and_watch(source, given, make_model("neural", (3, 2), 20))
    assert [*view.model.classes_] == ["x", "y"] and [*view.model.feature_names_in_] == [*"abcde"]
    assert topic_table(view.model)["layer"].tolist() == [0, 0, 0, 1, 1]
    with pytest.raises(ValueError, match="NMF learns no labels"):
        fit_and_watch(source, given, make_model("nmf", (3,), 20))
