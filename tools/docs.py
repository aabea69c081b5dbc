"""Build the documentation site in _docs/html, without a network.

    docs.py           put the sources together, run Sphinx, check every link inside the site
    docs.py --check   only check the links of the site that is there

The pages are the notebooks with the outputs they hold; API pages are what nbs/public_names.ipynb
lists; the inspector's pages are made anew.
"""

import argparse
import base64
import html.parser
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
SOURCE, SITE = ROOT / "_docs" / "source", ROOT / "_docs" / "html"
DIRECTIVE = re.compile(r"^#\s*\|.*\n?", re.MULTILINE)
ANCHOR = re.compile(r"(\]\([^)\s:]*#)([^)\s]+)")
# code, links and headings are left as they are; what else stands in backticks may be a name
UNCHANGED = re.compile(r"(```.*?```|^#.*?$|\[[^\]]*\]\([^)]*\))", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"(?<!`)`([A-Za-z]\w*)`(?!`)")
# notebooks whose pictures are shown on the first page, and the cell's place among its pictures
GALLERY = {
    "tutorials/01_neural_nmf": 0,
    "tutorials/02_two_centuries": 0,
    "tutorials/03_looking_inside": 0,
    "tutorials/04_your_own_data": 2,
    "plot/tree": 0,
    "plot/time": 0,
    "plot/images": 0,
    "plot/paths": 0,
    "selection/rank_search": 0,
    "tensors/neural_ncpd": 0,
    "models/unfolded": 0,
    "experiments/02_where_depth_helps": 0,
}


# --- sources --------------------------------------------------------------------------------------


def notebooks():
    """Notebooks of the repository."""
    return sorted(
        path
        for path in (ROOT / "nbs").rglob("*.ipynb")
        if not any(part[0] in "._" for part in path.relative_to(ROOT).parts)
    )


def with_names(source):
    """Prose whose names of models lead to their pages."""
    import nnmf_nb

    def led(found):
        shown = getattr(nnmf_nb, found[1]) if found[1] in nnmf_nb.__all__ else None
        is_model = isinstance(shown, type) and hasattr(shown, "fit")
        return f"{{py:class}}`{found[1]} <nnmf_nb.{found[1]}>`" if is_model else found[0]

    parts = UNCHANGED.split(source)
    parts[::2] = [NAME.sub(led, part) for part in parts[::2]]
    return "".join(parts)


def for_readers(nb):
    """A notebook without what only nbdev reads: its directives, and cells marked `hide`."""
    cells = []
    for cell in nb["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            flags = {re.sub(r"\s+", "", line) for line in DIRECTIVE.findall(source)}
            if flags & {"#|hide", "#|include:false"}:
                continue
            source = DIRECTIVE.sub("", source)
            if not source.strip() and not cell["outputs"]:
                continue
        else:
            # Jupyter writes the anchor of a heading as the heading, MyST as GitHub does
            source = ANCHOR.sub(lambda found: found[1] + found[2].lower(), source)
            source = with_names(source)
        cells.append(cell | {"source": source})
    return nb | {"cells": cells}


def pictures(nb):
    """The pictures among the outputs of a notebook, as bytes."""
    return [
        base64.b64decode("".join(output["data"]["image/png"]))
        for cell in nb["cells"]
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


def title(nb):
    """The first heading of a notebook."""
    text = "\n".join("".join(cell["source"]) for cell in nb["cells"])
    return re.search(r"^# (.+)$", text, re.MULTILINE)[1].strip()


def write_notebooks():
    """Put the notebooks, and the files they link to, beside the settings of Sphinx."""
    for path in notebooks():
        target = SOURCE / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        nb = for_readers(json.loads(path.read_text(encoding="utf-8")))
        target.write_text(json.dumps(nb), encoding="utf-8")
    shutil.copytree(ROOT / "nbs" / "images", SOURCE / "nbs" / "images")
    for path in [ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("benchmarks/**/*.md")]:
        target = SOURCE / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def write_gallery():
    """Pictures that lead to their notebooks."""
    folder = SOURCE / "_static" / "gallery"
    folder.mkdir(parents=True)
    tiles = []
    for name, place in GALLERY.items():
        nb = json.loads((ROOT / "nbs" / f"{name}.ipynb").read_text(encoding="utf-8"))
        file = name.replace("/", "-") + ".png"
        (folder / file).write_bytes(pictures(nb)[place])
        tiles.append(
            f'<a href="nbs/{name}.html"><img src="_static/gallery/{file}" alt="" loading="lazy">'
            f"<span>{title(nb)}</span></a>"
        )
    grid = "\n".join(['<div class="gallery">', *tiles, "</div>"])
    (SOURCE / "gallery.md").write_text(grid + "\n", encoding="utf-8")


def write_live_pages():
    """Two pages of the inspector, as a user would write them."""
    from nnmf_nb import NeuralNMF, datasets, fit_texts, inspect

    folder = SOURCE / "_extra" / "live"
    folder.mkdir(parents=True)
    terms = datasets.gene_ontology()
    pipeline = fit_texts(terms.text, ranks=(12, 4), stop_words="english", max_df=0.2, min_df=10)
    samples = list(zip(terms.samples, terms.text))
    inspect(pipeline, terms.text, samples=samples).to_html(folder / "terms.html")
    digits = datasets.digits()
    strokes = NeuralNMF(ranks=(16, 6), random_state=0).fit(digits.X)
    inspect(strokes, digits.X, shape=digits.shape_of_sample).to_html(folder / "digits.html")


# --- API ------------------------------------------------------------------------------------------


def listed_names():
    """(heading, [dotted names]) of the page of public names, in its order."""
    nb = json.loads((ROOT / "nbs" / "public_names.ipynb").read_text(encoding="utf-8"))
    groups = []

    def listed(module, *names):
        found = names or importlib.import_module(module).__all__
        groups[-1][1].extend(f"{module}.{name}" for name in found)

    for cell in nb["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and source.startswith("## "):
            groups.append((source.splitlines()[0].removeprefix("## "), []))
        elif "listed(" in source and "def listed" not in source:
            exec(source, {"listed": listed, "display": lambda shown: None})
    return groups


def write_api():
    """The page of all public names, from which Sphinx makes one page for each."""
    lines = ["# API", ""]
    lines += ["All public names, by task. What is not here is internal and may change.", ""]
    for heading, names in listed_names():
        lines += [f"## {heading}", "", "```{eval-rst}", ".. autosummary::", "   :toctree: names"]
        lines += ["   :nosignatures:", ""]
        lines += [f"   {name}" for name in dict.fromkeys(names)] + ["```", ""]
    (SOURCE / "api").mkdir()
    (SOURCE / "api" / "index.md").write_text("\n".join(lines), encoding="utf-8")


def mathjax():
    """MathJax as one file, from a package that holds it."""
    files = importlib.metadata.files("sphinx-mathjax-offline") or []
    return next(file.locate() for file in files if file.name == "tex-svg.js")


def write_sources():
    """All that Sphinx reads, in an empty folder."""
    import nnmf_nb

    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCE)
    write_notebooks()
    write_gallery()
    write_live_pages()
    write_api()
    shutil.copy(mathjax(), SOURCE / "_static" / "tex-svg.js")
    for page in SOURCE.glob("*.md"):
        # docs/ lies beside nbs/, and becomes the top of the site
        text = page.read_text(encoding="utf-8").replace("](../", "](")
        page.write_text(text.replace("{{VERSION}}", nnmf_nb.__version__), encoding="utf-8")


# --- links ----------------------------------------------------------------------------------------


class Links(html.parser.HTMLParser):
    """What a page links to, what it loads, and the anchors it has."""

    LOADED = {"img": "src", "script": "src", "iframe": "src", "link": "href", "source": "src"}

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors.update(given[key] for key in ("id", "name") if given.get(key))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        address = given.get(self.LOADED.get(tag, ""))
        if address:
            self.loaded.append(address)


def is_outside(address):
    return bool(urlsplit(address).scheme or urlsplit(address).netloc)


def faults():
    """Links that lead nowhere inside the site, and what a page loads from outside."""
    pages = {
        path: Links(path.read_text(encoding="utf-8"))
        for path in SITE.rglob("*.html")
        if "_static" not in path.relative_to(SITE).parts
    }
    for path, page in pages.items():
        name = path.relative_to(SITE).as_posix()
        for address in page.loaded:
            if is_outside(address) and not address.startswith("data:"):
                yield f"{name} loads {address}"
        for address in [*page.links, *page.loaded]:
            if is_outside(address) or address in ("#", ""):
                continue
            parts = urlsplit(address)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield f"{name}: no file for {address}"
            elif parts.fragment and target in pages:
                if unquote(parts.fragment) not in pages[target].anchors:
                    yield f"{name}: no place for {address}"


def check():
    """Print faults; whether there are any."""
    found = sorted(set(faults()))
    for fault in found:
        print(f"BROKEN  {fault}")
    count = sum(1 for _ in SITE.rglob("*.html"))
    print(f"docs: {count} pages, {len(found)} faults in links")
    return bool(found)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only check the links")
    args = parser.parse_args()
    began = time.monotonic()
    if not args.check:
        write_sources()
        shutil.rmtree(SITE, ignore_errors=True)
        sphinx = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going"]
        if subprocess.run([*sphinx, str(SOURCE), str(SITE)]).returncode:
            sys.exit("docs: Sphinx found faults, see above")
    is_broken = check()
    print(f"docs: {time.monotonic() - began:.0f} s; open {SITE.relative_to(ROOT)}/index.html")
    sys.exit(is_broken)


if __name__ == "__main__":
    main()
