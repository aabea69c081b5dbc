"""What must hold of the repository as a whole: the order of the house, light imports, and notebooks
fit to be committed.
"""

import ast
import doctest
import importlib
import inspect
import io
import json
import pkgutil
import re
import subprocess
import sys
import warnings
from configparser import ConfigParser
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from numpydoc.validate import validate
from pylint.checkers import symilar

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "nnmf_nb"
NOTEBOOKS = sorted(
    p
    for p in (ROOT / "nbs").rglob("*.ipynb")
    if not any(part[0] in "._" for part in p.relative_to(ROOT).parts)
)
BY_HAND = ("__init__.py", "__main__.py", "_modidx.py")
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name not in BY_HAND)
# A module imports only from modules above its own.
HOUSE = """
core: _arrays iteration _validation _data _linalg
out_of_core: _sources
layer: _cpu_kernels _cuda_kernels _near_dependence _nnls _kl_kernels _kl_arrays _kl
solvers: stationarity _stopping coordinate_descent initialization extrapolation _loss divergences
solvers: count_descent
solvers: gradient _quasi_newton _flat _online
chain: _costs _projection _counts _layer_losses _layers _labels _sequential _semi_nmf
out_of_core: _distributed _training
evaluation: _certificates metrics hierarchy_metrics
persistence: _text_steps _files _checkpoints
out_of_core: _chains
models: _probabilities _tables _report _base _starts _one_layer *
tensors: _kernels _data _counts _cp _neural_ncpd _judgment
plot: _colors _factors _tree _topics _time _images _paths _tensors
inspector: _pages
plot: _map_kernels _map_arrays _map_layout _map _river _compare
selection: _cuts _tensor_cuts _rules criteria _rank_search _profiles _consensus
steering: _bounds _state _edits _steering
inspector: _documents _overview _editing _tensors _view _live
texts
datasets
bridges
_command_line
apps: _files _work _form
"""
BORDERS = {"datasets": set()}  # data must load without the models


def relative(path):
    return path.relative_to(ROOT).as_posix()


def settings():
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def text_files():
    """(path, text) of every file that is, or is about to be, tracked and reads as text."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = (
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        .stdout.decode()
        .split("\0")
    )
    for file in filter(None, listed):
        content = (ROOT / file).read_bytes() if (ROOT / file).is_file() else b"\0"
        if b"\0" not in content:
            yield file, content.decode("utf-8")


def run_python(code):
    """What `code` prints in a fresh interpreter that finds this checkout first."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- notebooks ------------------------------------------------------------------------------------


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_notebook_is_fit_to_commit(path):
    nb = json.loads(path.read_text(encoding="utf-8"))
    assert path.stat().st_size <= 400_000, "larger than 400 kB: smaller or fewer pictures"
    assert "widgets" not in nb["metadata"], (
        "metadata.widgets breaks the rendering on forges: tools/nbs.py tidy"
    )
    code = [cell for cell in nb["cells"] if cell["cell_type"] == "code"]
    errors = [
        output["ename"]
        for cell in code
        for output in cell["outputs"]
        if output["output_type"] == "error"
    ]
    assert not errors, "a saved traceback"
    assert any(cell["outputs"] for cell in code), "no saved output: tools/nbs.py execute"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_cells_are_readable(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    opening = next(
        ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"), ""
    )
    assert re.match(r"# \S.*\n+> \S", opening) or path.stem == "index", (
        "opens with  # Title  and  > one-line subtitle"
    )
    exported = 0
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or not re.match(r"\s*#\s*\|\s*export\b", source):
            continue
        exported += 1
        kinds = {isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(source).body}
        assert len(kinds) <= 1, f"cell {cell['id']} mixes imports with other code"
    assert len(cells) >= 2 * exported, "fewer cells of prose and demonstration than exported ones"


# --- words ----------------------------------------------------------------------------------------

# Of the private language that this package was once written in, none may be a part of a name. (The
# field's words: iteration, step, projected gradient, extrapolation,
# recorder, state, history, penalty, fixed, transposed, .. `held_out` and the names of other
# libraries are allowed.)
RETIRED = set(
    "turn turns turned repeat told keeper keepers kept pull far unmet reach ahead unrest settling "
    "looked aims near spoken wish asked price lifted raised halves held company cure ready goes "
    "books diary course".split()
)


def bound_names(source):
    """Names that Python code binds: functions, classes, arguments and what is assigned to."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.alias):
            yield node.asname or ""


def bound_in_script(source):
    """Names that JavaScript binds: declarations, also by a pattern, and arguments of arrow
    functions.
    """
    for declared in re.findall(
        r"\b(?:const|let|var|function|class)\s+(\w+|[\[{][^=]*?[\]}])|\(([^()]*)\)\s*(?:=>|{)|\b(\w+)\s*=>",
        source,
    ):
        yield from re.findall(r"[A-Za-z_]\w*", " ".join(declared))


def words_of(name):
    """The parts of a name between underscores and capitals, in small letters."""
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize(
    "path",
    [*MODULES, *sorted((ROOT / "tools").glob("*.py")), *sorted(PACKAGE.rglob("*.js"))],
    ids=relative,
)
def test_names_are_the_fields(path):
    source = path.read_text(encoding="utf-8")
    names = {*(bound_in_script if path.suffix == ".js" else bound_names)(source)} - {"held_out"}
    assert not {name for name in names if words_of(name) & RETIRED}


def test_a_retired_name_would_be_seen():
    assert {*bound_names("def f(a): b.far = c = 1")} == {"f", "a", "far", "c"} and words_of(
        "pull_onAWish"
    ) >= {"pull", "wish"}
    assert {"told", "a", "b", "c"} <= {
        *bound_in_script("const told = {}; let [a, b] = x; f((c) => 1)")
    }


# --- the house ------------------------------------------------------------------------------------


def rows(house):
    """The modules of a house from top to bottom, as dotted names below nnmf_nb; * are those of the
    folder that are not named (models, which import nothing from each other).
    """
    for line in house.split("\n"):
        folder, _, modules = line.partition(": ")
        named = modules.split()
        if "*" in named:
            stems = {path.stem for path in (PACKAGE / folder).glob("_[a-z]*.py")}
            named[named.index("*") :] = sorted(stems - {*named})
        yield from (f"{folder}.{module}" for module in named)
        if folder and not modules:
            yield folder


def imported(path):
    """Dotted names of everything `path` imports, at any depth, with relative imports resolved."""
    package = [*path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            # a name may be a module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_module_imports_only_from_modules_above(path):
    own, order = ".".join(path.relative_to(PACKAGE).with_suffix("").parts), [*rows(HOUSE)]
    assert own in order, f"{own} has no place in the house: give it one in HOUSE"
    above = BORDERS.get(own, {*order[: order.index(own)]})
    inside = [name.removeprefix("nnmf_nb.") for name in imported(path) if name[:8] == "nnmf_nb."]
    assert not [
        name
        for name in inside
        if not any(name == module or name.startswith(f"{module}.") for module in above)
    ]
    assert not {name.split(".")[0] for name in imported(path)} & {"nbdev", "fastcore", "execnb"}, (
        "nbdev is a tool, not a dependency"
    )


# What models share; `_one_layer` is the base of NMF, SSNMF and GuidedNMF, `_tables`, `_report`
# and `_probabilities` are parts of `_base`.
SHARED_BY_MODELS = {"_base", "_starts", "_tables", "_probabilities", "_report", "_one_layer"}


def siblings(path):
    """Models that a module imports from, besides the modules that models share."""
    own = path.stem if path.parent.name == "models" else None
    modules = {name.split(".")[2] for name in imported(path) if name[:15] == "nnmf_nb.models."}
    return modules - SHARED_BY_MODELS - {own}


@pytest.mark.parametrize("path", sorted((PACKAGE / "models").glob("_[a-z]*.py")), ids=relative)
def test_models_import_nothing_from_each_other(path):
    assert not siblings(path)


def test_an_import_from_a_sibling_would_be_seen():
    """Modules of other folders may import estimators: the searches do."""
    assert siblings(PACKAGE / "selection" / "_profiles.py") == {"_neural", "_nmf"}


# hooks of scikit-learn, named tuples and Jupyter's kernel, whose names are not ours
FOREIGN_PRIVATE = (
    "_replace _fields _asdict _skl_callbacks _init_callback_context _callback_fit_ctx "
    "_repr_mimebundle_ _get_fitted_attr_html _publish_status _shell_channel_to_main"
).split()


def private_attributes(tree):
    """(names of private attributes that a module reads of others, names that it defines itself)."""
    read, own = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        elif isinstance(node, ast.Attribute):
            of_itself = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            of_base = isinstance(node.value, ast.Call) and ast.unparse(node.value) == "super()"
            if not (of_itself or of_base):
                read.add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
            if isinstance(node.args[1], ast.Constant) and ast.unparse(node.args[0]) != "self":
                read.add(node.args[1].value)
    private = {name for name in read if name.startswith("_") and not name.startswith("__")}
    return private, own


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_module_reads_a_private_attribute_of_another(path):
    private, own = private_attributes(ast.parse(path.read_text(encoding="utf-8")))
    assert private - own <= {*FOREIGN_PRIVATE}


def test_private_attributes_are_found():
    code = "class A:\n    _a = 1\n    def f(self, x):\n        x._b\n        hasattr(x, '_c')\n"
    code += "        self._d\n        x._a"
    private, own = private_attributes(ast.parse(code))
    assert private - own == {"_b", "_c"}


# --- the package as it is imported ----------------------------------------------------------------

BARE = (
    "numpy scipy sklearn numba matplotlib pandas IPython ipywidgets anywidget cupy nbdev fastcore"
).split()
LIGHT = "cupy IPython ipywidgets anywidget matplotlib.pyplot nbdev fastcore".split()


def loaded(code, names):
    return run_python(
        f"{code}\nprint(*[name for name in {names!r} if sys.modules.get(name)])"
    ).split()


def test_import_of_the_package_loads_nothing():
    assert loaded("import nnmf_nb", BARE) == []


def test_public_names_load_neither_gpu_nor_notebook():
    assert loaded("from nnmf_nb import *", LIGHT) == []


def test_dir_shows_the_public_names():
    assert run_python("import nnmf_nb; print({*nnmf_nb.__all__} <= {*dir(nnmf_nb)})") == "True"


def test_type_checkers_see_the_public_names():
    """What `__init__` shows them is what it imports when a name is used."""
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    shown = {
        (alias.name, node.module, alias.asname)
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        for alias in node.names
    }
    code = "import nnmf_nb; print([(name, nnmf_nb._home.get(name)) for name in nnmf_nb.__all__])"
    assert shown == {
        (name, f"nnmf_nb.{module}" if module else "nnmf_nb", name)
        for name, module in ast.literal_eval(run_python(code))
    }


def test_unknown_name_is_an_attribute_error():
    assert run_python("import nnmf_nb; print(hasattr(nnmf_nb, 'no_such_name'))") == "False"


def test_nnls_is_the_function_whatever_was_imported_before():
    code = """import nnmf_nb.layer._nnls, nnmf_nb.layer
print(nnmf_nb.nnls is nnmf_nb.layer.nnls is nnmf_nb.layer._nnls.nnls)"""
    assert run_python(code) == "True"


def test_few_names_are_public():
    """What `__all__` of all public modules lists is what a user may rely on."""
    found = pkgutil.walk_packages([str(PACKAGE)], "nnmf_nb.")
    public = ["nnmf_nb", *(module.name for module in found if "._" not in module.name)]
    names = [getattr(importlib.import_module(name), "__all__", []) for name in public]
    assert sum(map(len, names)) < 250


@pytest.mark.exhaustive  # nbs/index.ipynb, of which the README is made, is run as a notebook
@pytest.mark.xdist_group("readme")
def test_snippets_of_the_readme_run_in_order(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    code = ["import os, matplotlib", "matplotlib.use('agg')", f"os.chdir({str(tmp_path)!r})"]
    assert len(blocks) >= 5 and run_python(
        "\n".join([*code, *blocks, "print(os.path.getsize('page.html'))"])
    )


def public_names():
    """(module, name, function or class) of what the public modules list."""
    modules = ["nnmf_nb", *(m.name for m in pkgutil.walk_packages([str(PACKAGE)], "nnmf_nb."))]
    for module in modules:
        if "._" in module:
            continue
        loaded = importlib.import_module(module)
        for name in getattr(loaded, "__all__", []):
            one = getattr(loaded, name)
            if inspect.isclass(one) or inspect.isfunction(one):
                yield module, name, one


def public_objects():
    """Dotted names of public functions and classes, and of the public methods of classes."""
    for module, name, one in public_names():
        yield f"{module}.{name}"
        members = vars(one).items() if inspect.isclass(one) else ()
        for member, value in members:
            if member[0] != "_" and (inspect.isfunction(value) or isinstance(value, property)):
                yield f"{module}.{name}.{member}"


def signatures_of(one):
    """(name, signature) of a public function, or of what users call of a public class: `__init__`,
    public methods and properties, also inherited ones of this package.
    """
    if not inspect.isclass(one):
        yield one.__qualname__, inspect.signature(inspect.unwrap(one))
        return
    for kind in one.__mro__:
        if kind.__module__.split(".")[0] != "nnmf_nb":
            continue
        for name, value in vars(kind).items():
            value = value.fget if isinstance(value, property) else value
            value = inspect.unwrap(getattr(value, "__func__", value)) if callable(value) else value
            if inspect.isfunction(value) and (name == "__init__" or not name.startswith("_")):
                yield value.__qualname__, inspect.signature(value)


def without_annotation(signature):
    """Names of the arguments, and 'return', that have none."""
    names = [
        name
        for name, argument in signature.parameters.items()
        if argument.annotation is argument.empty and name not in ("self", "cls", "_cls")
    ]
    return names + ["return"] * (signature.return_annotation is signature.empty)


def test_public_signatures_are_annotated():
    found = {}
    for module, _, one in public_names():
        for name, signature in signatures_of(one):
            found[f"{module}: {name}"] = without_annotation(signature)
    assert len(found) > 250 and not {name: names for name, names in found.items() if names}


def test_a_missing_annotation_would_be_seen():
    class Model:
        def __init__(self, rank, tol: float = 0.0) -> None: ...

        @property
        def error(self): ...

    Model.__module__ = "nnmf_nb.models"
    faults = [without_annotation(signature) for _, signature in signatures_of(Model)]
    assert faults == [["rank"], ["return"]]


def test_a_page_lists_the_public_names():
    page = (ROOT / "nbs" / "public_names.ipynb").read_text(encoding="utf-8")
    names = {name for _, name, _ in public_names()}
    assert not {name for name in names if f">{name}<" not in page}


def test_public_docstrings_are_numpydoc():
    """All checks of numpydoc but examples, see also and extended summary."""
    faults = {}
    for name in public_objects():
        found = [code for code, _ in validate(name)["errors"]]
        faults[name] = [code for code in found if code not in ("EX01", "SA01", "ES01")]
    assert len(faults) > 150 and not {name: codes for name, codes in faults.items() if codes}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_examples_in_docstrings_run(path):
    if path.stem.endswith("kernels"):
        pytest.importorskip("numba")
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    with warnings.catch_warnings(), plt.rc_context({"backend": "agg"}):
        failed, _ = doctest.testmod(module)
    assert not failed


def without_form(path):
    """The lines of a module, empty where an import, a docstring or a signature is: pylint would
    leave them out itself, and read what every module imports for that.
    """
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        spans = []
        if isinstance(node, ast.Import | ast.ImportFrom):
            spans.append((node.lineno, node.end_lineno))
        if isinstance(node, ast.FunctionDef):
            spans.append((node.lineno, first.lineno - 1))
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            spans.append((first.lineno, first.end_lineno))
        for start, end in spans:
            lines[start - 1 : end] = ["\n"] * (end - start + 1)
    return io.StringIO("".join(lines))


def test_no_two_places_share_more_than_eight_lines(monkeypatch):
    """Besides comments, docstrings, imports and signatures (pylint's similarity checker)."""
    # it compares every two files, and would hash the lines of both anew each time
    monkeypatch.setattr(symilar, "hash_lineset", cache(symilar.hash_lineset))
    search = symilar.Symilar(min_lines=9, ignore_comments=True)
    for path in MODULES:
        search.append_stream(relative(path), without_form(path))
    found = [
        [f"{lines.name}:{start + 1}-{end}" for lines, start, end in places]
        for _, places in search._compute_sims()
    ]
    assert not found


# --- versions and text ----------------------------------------------------------------------------


def test_version_is_one():
    version = settings()["version"]
    assert run_python("import nnmf_nb; print(nnmf_nb.__version__)") == version
    assert re.search(
        rf"^## {re.escape(version)}\b",
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )


# Words of British spelling that this project has used; 'organism' and 'wise' are none.
BRITISH = re.compile(
    r"(?<![a-z])(?:un)?label(?:led|ling)"
    r"|colour|neighbour|behaviour|favour|licence|judgement|catalogue|artefact|\bgrey|centred|centring"
    r"|modell(?:ed|ing)|cancelled|travelled|\btowards\b|\bafterwards\b"
    r"|(?:factor|minim|maxim|normal|general|linear|major|penal|random|synchron|optim|regular|recogn"
    r"|initial|summar|visual|serial|parallel|vector|standard|symmetr|special|memor|util|orthogonal"
    r"|diagonal|token)is(?:e\b|ed|er|es\b|ing|able|ation|e_)|analyse",
    re.IGNORECASE,
)
# Addresses, and the key under which the archives of the embedded data keep the text of a license.
NOT_OURS = re.compile(
    r'CancelledError|https?://[^\s)>"\\]+|archive\[\\?"licence\\?"\]|licence=np\.array|`licence`'
)
LONG_LINE = re.compile(r"^.{2000,}$", re.MULTILINE)


def test_spelling_is_american():
    found = []
    for file, text in text_files():
        if file.endswith((".ipynb", ".py", ".js", ".css", ".md", ".cu", ".toml", ".ini")):
            if file not in ("tests/test_repository.py", "LICENSE"):
                text = LONG_LINE.sub("", text)  # pictures and tables in outputs
                words = {*re.findall(r"\w+", NOT_OURS.sub("", text).lower())}
                found += [f"{file}: {word}" for word in words if BRITISH.search(word)]
    assert not found


@pytest.mark.parametrize("word", ["colour", "unlabelled", "minimises", "Judgement", "n_labelled"])
def test_british_spelling_would_be_seen(word):
    assert BRITISH.search(word)
    assert not BRITISH.search("organism likewise color labeled minimizes")


def test_no_path_of_a_machine():
    where = re.compile(r"(?<![\w.])/(?:home|root|tmp|work)(?:/[\w.]|\b(?=[\"'\s]))")
    found = [f"{file}: {hit[0]}" for file, text in text_files() for hit in where.finditer(text)]
    assert not found


def test_links_between_files_resolve():
    link = re.compile(r"\]\(\s*<?(?![a-z][a-z0-9+.-]*:|[#/])([^\s)>#]+)", re.IGNORECASE)
    broken = []
    for file, text in text_files():
        if file.endswith(".ipynb"):
            cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
            text = "\n\n".join("".join(cell["source"]) for cell in cells)
        if file.endswith((".md", ".ipynb")):
            text = re.sub(r"^```.*?^```|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)
            broken += [
                f"{file}: {target}"
                for target in link.findall(text)
                if not (ROOT / file).parent.joinpath(target).exists()
            ]
    assert not broken


def test_every_notebook_is_in_a_menu_of_the_site():
    pages = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))]
    entries = re.findall(r"^(?:.*<)?(nbs/[\w/*]+)>?$", "\n".join(pages), re.MULTILINE)
    stems = [relative(path.with_suffix("")) for path in NOTEBOOKS]
    assert not [stem for stem in stems if not any(fnmatch(stem, entry) for entry in entries)]
