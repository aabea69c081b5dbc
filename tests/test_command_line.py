"""The command line (issue 23): every kind of file, results, and errors that say what to do."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp

from nnmf_nb import NMF, NeuralNMF, fit_texts, load
from nnmf_nb._command_line import main

TEXTS = [
    f"{fruit} {color} {place}"
    for fruit in ("apples", "pears", "plums")
    for color in ("red", "green")
    for place in ("garden", "market")
]
KINDS = [text.split()[0] for text in TEXTS]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_texts(path):
    """`TEXTS` in the format of a path, with an empty one where the format can hold it."""
    table = pd.DataFrame({"text": [*TEXTS, ""], "name": range(len(TEXTS) + 1)})
    if path.suffix in (".csv", ".tsv"):
        table.to_csv(path, index=False, sep=",\t"[path.suffix == ".tsv"], encoding="utf-8-sig")
    elif path.suffix == ".jsonl":
        rows = [{"text": text, "name": i} for i, text in enumerate(TEXTS)] + [{"text": None}]
        path.write_text("\n".join(map(json.dumps, rows)))
    elif path.suffix == ".txt":
        path.write_text("\n\n".join(TEXTS))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for i, text in enumerate(TEXTS):
                archive.writestr(f"{i:02}.txt", text)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".txt", ".zip"])
def test_texts_of_every_kind_of_file(here, suffix, capsys):
    """The pipeline is that of `fit_texts` on the same texts, bit by bit."""
    write_texts(here / f"texts{suffix}")
    has_columns = suffix in (".csv", ".tsv", ".jsonl")
    columns = ["--column", "text"] if has_columns else []
    command = [f"texts{suffix}", *columns, *"--ranks 3 2 --save model.st --max-iter 20".split()]
    assert main(command) == 0
    texts = [*TEXTS, ""] if has_columns else TEXTS
    wanted = fit_texts(texts, model=NeuralNMF((3, 2), max_iter=20, random_state=0))
    assert np.array_equal(load("model.st").transform(TEXTS), wanted.transform(TEXTS))
    said = capsys.readouterr().out
    assert f"{len(texts)} texts" in said and ("1 are empty" in said) == has_columns
    assert "depth  rank  error" in said and "wrote model.st" in said


def test_options_reach_vectorizer_and_model(here):
    write_texts(here / "texts.csv")
    options = "--weighting counts --min-df 1 --max-df 0.4 --stop-words english --ngrams 1 2"
    model = "--model nmf --ranks 2 --max-iter 7 --seed 3 --save model.st --quiet"
    assert main(["texts.csv", "--column", "text", *options.split(), *model.split()]) == 0
    pipeline = load("model.st")
    vectorizer, topics = pipeline[0].get_params(), pipeline[1]
    assert vectorizer["ngram_range"] == (1, 2) and vectorizer["stop_words"] == "english"
    assert (vectorizer["min_df"], vectorizer["max_df"]) == (1, 0.4)
    assert "apples red" in pipeline[0].vocabulary_ and "red" not in pipeline[0].vocabulary_
    assert isinstance(topics, NMF) and topics.max_iter == 7 and topics.random_state == 3


def test_labels_names_page_and_coefficients(here):
    table = pd.DataFrame({"text": TEXTS, "kind": KINDS, "id": [f"n{i}" for i in range(len(TEXTS))]})
    table.loc[::4, "kind"] = ""
    table.to_csv("texts.csv", index=False)
    columns = "--column text --labels kind --names id --ranks 4 3"
    results = "--out page.html --save model.st --coefficients table.csv --quiet"
    assert main(["texts.csv", *columns.split(), *results.split()]) == 0
    pipeline = load("model.st")
    assert [*pipeline[-1].classes_] == ["apples", "pears", "plums"]
    assert (pipeline.predict(TEXTS) == KINDS).mean() > 0.9
    coefficients = pd.read_csv("table.csv", index_col="data point")
    assert [*coefficients.index] == [*table["id"]] and coefficients.shape == (len(TEXTS), 4 + 3)
    assert np.allclose(coefficients.iloc[:, 4:], pipeline.transform(TEXTS))
    page = Path("page.html").read_text(encoding="utf-8")
    assert "n11" in page and "garden" in page


def test_tables_of_numbers(here, capsys):
    """Names, gaps that are left out of the fit, and a table that has neither names nor header."""
    X = np.random.default_rng(0).random((20, 3)) @ np.random.default_rng(1).random((3, 6))
    frame = pd.DataFrame(X, columns=[*"abcdef"])
    frame.iloc[2, 3] = np.nan
    frame.insert(0, "id", [f"row {i}" for i in range(20)])
    frame.to_csv("table.csv", index=False)
    command = "table.csv --ranks 3 2 --save model.st --coefficients c.csv --max-iter 20"
    assert main(command.split()) == 0
    assert "20 data points x 6 features, 1 cells are unknown" in capsys.readouterr().out
    numbers = frame.set_index("id")
    wanted = NeuralNMF((3, 2), max_iter=20, random_state=0).fit(numbers, mask="nan")
    assert np.array_equal(load("model.st").components_, wanted.components_)
    assert [*load("model.st").feature_names_in_] == [*"abcdef"]
    coefficients = pd.read_csv("c.csv", index_col=0)
    assert coefficients.index[4] == "row 4"
    assert np.allclose(coefficients.iloc[:, :3], wanted.transform(numbers, layer=0, mask="nan"))
    np.savetxt("bare.csv", X, delimiter=",")
    assert main("bare.csv --ranks 2 --quiet --save bare.st".split()) == 0
    assert load("bare.st").layers_[0].S.shape == (2, 20)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mtx"])
def test_matrices(here, suffix):
    X = sp.random_array((15, 6), density=0.6, rng=np.random.default_rng(0)).tocsr()
    if suffix == ".npy":
        np.save("X.npy", X.toarray())
    elif suffix == ".npz":
        sp.save_npz("X.npz", X)
    else:
        scipy.io.mmwrite("X.mtx", X)
    command = f"X{suffix} --ranks 2 --max-iter 20 --save m.st --out page.html --coefficients c.csv"
    assert main([*command.split(), "--quiet"]) == 0
    wanted = NeuralNMF((2,), max_iter=20, random_state=0).fit(
        X if suffix != ".npy" else X.toarray()
    )
    assert np.allclose(load("m.st").components_, wanted.components_)
    assert np.allclose(pd.read_csv("c.csv", index_col=0), wanted.transform(X))


FAULTS = {
    "no file": (None, "", "x.csv: No such file or directory"),
    "format": ("x.pdf", "a", r"x.pdf: only \.csv, .*\.mtx can be read"),
    "empty": ("x.csv", "\n", "x.csv is empty"),
    "no rows": ("x.csv", "a,b\n", "no rows below it"),
    "encoding": ("x.csv", b"text\ncaf\xe9\n", "x.csv, line 2: byte 0xe9 is not utf-8.*cp1252"),
    "too many cells": ("x.csv", "a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3.*quotes"),
    "all rows too long": ("x.csv --column a", "a,b\n1,2,3\n4,5,6\n", "more cells than the first"),
    "not json": ("x.jsonl", '{"a": 1}\n{"a": \n', "x.jsonl, line 2: no JSON"),
    "no object": ("x.jsonl", "3\n", "x.jsonl, line 1: 3 is not a JSON object"),
    "word": ("x.csv", "n,a,b\nm,1,x\n", "row 2, column 'b': 'x' is no number >= 0.*--column"),
    "word below numbers": ("x.csv", "1,2\n3,y\n", "row 2, column 'column 2': 'y' is no number"),
    "negative": ("x.csv", "a,b\n1,2\n3,-4\n", r"row 3, column 'b': '-4' is no number >= 0 \(1 "),
    "no numbers": ("x.csv", "a\nb\n", "x.csv has no column of numbers"),
    "damaged": ("x.npz", b"abc", "x.npz: it is no .npz archive"),
    "no matrix": ("x.mtx", "hello\n", "x.mtx: "),
    "column of nothing": (
        "x.txt --column a",
        "b",
        "--column needs a file whose columns have names",
    ),
    "column": ("x.csv --column txet", "text,b\na,b\n", "Did you mean 'text'.*are: text, b"),
    "names": ("x.csv --column a --names c", "a,b\na,b\n", "no column 'c' for --names"),
    "empty texts": ("x.csv --column a", "a,b\n,1\n ,2\n", "all 2 cells of column 'a' are empty"),
    "no terms": ("x.csv --column a", "a,b\nu,1\nv,2\n", "x.csv: No terms are left.*Lower min_df"),
    "no labels": ("x.csv --column a --labels b", "a,b\nuu,\nuu,\n", "--labels: the column has no"),
    "folder": ("x.csv --out missing/page.html", "a,b\n1,2\n", "--out: there is no folder missing"),
    "itself": ("x.csv --save x.csv", "a,b\n1,2\n", "--save: x.csv is the file that is read"),
    "twice": ("x.csv --out a --save a", "a,b\n1,2\n", "--save and --out both name a"),
    "layers": ("x.csv --model nmf --ranks 3 2", "a,b\n1,2\n", "--model nmf has one layer"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_file_place_and_remedy(here, fault, capsys):
    command, content, message = FAULTS[fault]
    if command is not None:
        content = content if isinstance(content, bytes) else content.encode()
        Path(command.split()[0]).write_bytes(content)
    before = sorted(here.iterdir())
    assert main((command or "x.csv").split()) == 1
    said = capsys.readouterr()
    assert pytest.raises(AssertionError, match=message).matches(AssertionError(said.err))
    assert said.err.startswith("nnmf_nb: ") and "Traceback" not in said.err
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    "command, message",
    [
        ("", "FILE"),
        ("x.csv --ranks 0", "whole numbers >= 1, got '0'"),
        ("--ranks 20 6 x.csv", "put the file first"),
        ("x.csv --min-df 1.5", "a whole number, or a share 0..1"),
        ("x.csv --model nnmf", "invalid choice: 'nnmf'"),
    ],
)
def test_wrong_commands_end_with_2(command, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(command.split())
    assert end.value.code == 2 and message in capsys.readouterr().err


def test_a_warning_is_a_line(here, capsys):
    np.save("X.npy", np.random.default_rng(0).random((12, 8)))
    assert main("X.npy --ranks 3 2 --max-iter 1 --quiet".split()) == 0
    said = capsys.readouterr()
    assert said.err.startswith("nnmf_nb: warning: ") and "max_iter=1" in said.err
    assert not said.out and "Warning:" not in said.err


def test_an_interrupted_fit_is_written(here, monkeypatch):
    """Ctrl-C during the fit: what has been learned is there, and the status is a shell's."""
    np.save("X.npy", np.random.default_rng(0).random((12, 8)))
    original = NeuralNMF.fit

    def interrupted(model, *data, **given):
        original(model, *data, **given)
        model.stop_reason_ = "interrupted"
        return model

    monkeypatch.setattr(NeuralNMF, "fit", interrupted)
    assert main("X.npy --ranks 3 2 --quiet --save model.st".split()) == 130
    assert len(load("model.st").layers_) == 2


def test_the_module_runs(here):
    np.save("X.npy", np.random.default_rng(0).random((12, 8)))
    command = [sys.executable, "-m", "nnmf_nb", "X.npy", "--ranks", "2", "--out", "page.html"]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [*command],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(root), "MPLBACKEND": "agg"},
    )
    assert done.returncode == 0 and "wrote page.html" in done.stdout, done.stderr
