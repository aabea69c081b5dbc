"""Keep the notebooks and what is made from them true.

    execute       run notebooks in fresh kernels and store their outputs, tidied
    check         run them and compare what comes out with what is stored; writes nothing
    tidy          bring notebooks to their committed form without running them (--check: only say
    which are not)
    export-check  compare nnmf_nb/ with a fresh nbdev_export made elsewhere; writes nothing here

Without PATHS, all of nbs/. Names that begin with _ or . are left out. Exit status 1 when anything
is wrong.
"""

import argparse
import asyncio
import base64
import difflib
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

# jsonschema would build a grammar of URIs with it, which takes 3 s and serves nothing here
sys.modules.setdefault("rfc3987_syntax", None)

import nbformat  # noqa: E402
from ipykernel.kernelspec import write_kernel_spec  # noqa: E402
from nbclient import NotebookClient  # noqa: E402
from nbclient.exceptions import CellExecutionError, CellTimeoutError  # noqa: E402
from PIL import Image  # noqa: E402
from traitlets.config import Config  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from warm_kernel import LOG, kernels  # noqa: E402

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
COLAB = "application/vnd.google.colaboratory.intrinsic+json"
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
SKIP = re.compile(r"^#\s*\|\s*eval:\s*false\s*$", re.MULTILINE | re.IGNORECASE)
UNSTABLE = re.compile(
    r"ipykernel_\d+|(?<![\w.:/])/(?:home|root|tmp|usr|opt|var|work|Users)/\w|[A-Z]:\\Users\\"
)
TOLERANCE = re.compile(r"^#\s*\|\s*tolerance:\s*(.*?)\s*$", re.MULTILINE)
# A number that stands alone, and not a part of a version (3.11.7) or of a word; a sign belongs to
# the text before it.
DECIMAL = re.compile(r"(?<![\w.])(?:\d*\.\d+|\d+\.?(?=[eE][-+]?\d))(?:[eE][-+]?\d+)?(?!\d|\.\d)")
SIGNED = re.compile(r"(?<![\w.])[-+\u2212]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?!\d|\.\d)")
# how a tqdm widget reads in plain text
PROGRESS = re.compile(r"\[\d+:\d\d[<,].*/.*\]$|: iteration \d+ of at most \d+ ")
COLOR = re.compile(r"\x1b\[[0-9;]*m")


def notebooks(paths):
    """The notebooks named by `paths` (files or folders), sorted."""
    found = set()
    for path in paths or [ROOT / "nbs"]:
        path = Path(path).resolve()
        if path.is_dir():
            inside = (
                p
                for p in path.rglob("*.ipynb")
                if not any(part[0] in "._" for part in p.relative_to(path).parts)
            )
            found.update(inside)
        elif path.suffix == ".ipynb" and path.exists():
            found.add(path)
        else:
            sys.exit(f"{path}: no such notebook or folder")
    return sorted(found)


def name(path):
    return os.path.relpath(path, ROOT)


# --- tidy -----------------------------------------------------------------------------------------


def progress_bar(output):
    """Whether `output` is a tqdm widget, which unlike tqdm in a terminal heeds no TQDM_DISABLE."""
    data = output.get("data", {})
    return WIDGET_VIEW in data and bool(PROGRESS.search(data.get("text/plain", "")))


def only_widget(output):
    """Whether `output` is a widget and nothing else: without a kernel it shows nothing."""
    return {*output.get("data", {})} == {WIDGET_VIEW}


def small_png(value):
    """The picture with at most 256 colors and no metadata: two or three times smaller, and not to
    be told apart by eye.
    """
    picture = Image.open(io.BytesIO(base64.b64decode(value)))
    if picture.mode == "P":
        return value
    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
    packed = io.BytesIO()
    flat.quantize(256, dither=Image.Dither.NONE).save(packed, "png", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()


def tidy_output(output):
    if "execution_count" in output:
        output["execution_count"] = None
    data = output.get("data", {})
    data.pop(COLAB, None)
    # a still stands beside it, and a view whose kernel is gone only breaks renderers
    if len(data) > 1:
        data.pop(WIDGET_VIEW, None)
    for mime, value in data.items():
        if mime.startswith("text/"):
            data[mime] = ADDRESS.sub("", value)
        elif mime == "image/png":
            data[mime] = small_png(value.rstrip())
    if "text" in output:
        output["text"] = ADDRESS.sub("", output["text"])


def tidy(nb):
    """Change `nb` in place to the one form that is committed; what nbdev_clean would do, and the
    rest of the noise.
    """
    nb.nbformat_minor = 5
    nb.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}}
    )
    seen = set()
    for place, cell in enumerate(nb.cells):
        # from the content, so that two people who tidy get the same id
        if not cell.get("id") or cell.id in seen:
            cell["id"] = hashlib.sha256(f"{place} {cell.source}".encode()).hexdigest()[:8]
        seen.add(cell.id)
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [
                output
                for output in cell.outputs
                if not (progress_bar(output) or only_widget(output))
            ]
            for output in cell.outputs:
                tidy_output(output)
    nbformat.validate(nb)
    return nb


def read(path):
    return nbformat.from_dict(nbformat.reader.reads(path.read_text(encoding="utf-8")))


def text_of(nb):
    return nbformat.writes(nb) + "\n"


def cmd_tidy(args):
    stale = []
    for path in notebooks(args.paths):
        old, new = path.read_text(encoding="utf-8"), text_of(tidy(read(path)))
        if old == new:
            continue
        stale.append(path)
        if args.check:
            diff = list(
                difflib.unified_diff(
                    old.splitlines(), new.splitlines(), name(path), "tidied", n=0, lineterm=""
                )
            )
            print(*(line[:160] for line in diff[:12]), sep="\n")
            print(
                f"untidy  {name(path)}: {len(diff)} lines of difference; "
                "run  tools/nbs.py tidy  and commit\n"
            )
        else:
            path.write_text(new, encoding="utf-8")
            print(f"tidied  {name(path)}")
    verdict = "are not tidy" if args.check else "changed"
    print(f"tidy: {len(stale)} of {len(notebooks(args.paths))} notebooks {verdict}")
    return bool(stale and args.check)


# --- execute and check ----------------------------------------------------------------------------


class Client(NotebookClient):
    async def async_execute_cell(self, cell, cell_index, *args, **kwargs):
        if SKIP.search(cell.source):
            return cell  # with the outputs it has
        return await super().async_execute_cell(cell, cell_index, *args, **kwargs)


@contextmanager
def kernel_environment():
    """Where kernels are found and their environment: this interpreter, this checkout, no settings
    of the user who happens to run it.
    """
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory() as folder:
        environment = variables_of_kernels(folder)
        with kernels(folder, environment) as command:
            write_kernel_spec(Path(folder, "kernels", "python3"), overrides={"argv": command})
            # searched first: a kernel "python3" of the user's is another interpreter
            os.environ["JUPYTER_PATH"] = folder
            try:
                yield environment
            finally:
                del os.environ["JUPYTER_PATH"]
                os.environ |= {} if before is None else {"JUPYTER_PATH": before}


def variables_of_kernels(folder):
    """The variables of the environment of kernels, and the files in `folder` that they name."""
    Path(folder, "matplotlibrc").touch()  # all defaults
    env = {
        k: v
        for k, v in os.environ.items()
        if k not in ("MPLBACKEND", "COLUMNS", "LINES", "FORCE_COLOR", "IN_TEST")
    }
    env["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path(folder, "quiet")), str(ROOT), env.get("PYTHONPATH")])
    )
    # One thread each, unless the caller says how many: notebooks run side by side.
    threads = env.get("OMP_NUM_THREADS", "1")
    env |= {
        name: threads
        for name in (
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "NUMBA_NUM_THREADS",
        )
    }
    # that kernels are being compiled is said once on a machine, and is no output of a notebook;
    # processes that a notebook starts read this file too
    quiet = Path(folder, "quiet", "sitecustomize.py")
    quiet.parent.mkdir()
    lines = 'import logging\n\nlogging.getLogger("nnmf_nb").setLevel("ERROR")\n'
    quiet.write_text(lines + sitecustomize_of(os.environ.get("PYTHONPATH", "")))
    runtime = Path(folder, "runtime")
    runtime.mkdir()
    return env | {
        "TQDM_DISABLE": "1",
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "IPYTHONDIR": str(Path(folder, "ipython")),
        "MATPLOTLIBRC": str(Path(folder, "matplotlibrc")),
    }


def sitecustomize_of(search_path):
    """The text of the first sitecustomize.py in folders joined by os.pathsep, "" if there is none:
    Python runs one only.
    """
    files = (Path(folder, "sitecustomize.py") for folder in search_path.split(os.pathsep) if folder)
    return next((file.read_text() for file in files if file.exists()), "")


def connection(folder):
    """Settings of a kernel that is reached through sockets in `folder`. The usual ports are chosen
    and let go before the kernel takes them: now and then another process has one by then, and the
    kernel ends before it has begun.
    """
    if sys.platform != "linux":
        return Config()
    file = str(Path(folder, f"{uuid4().hex}.json"))
    return Config(KernelManager={"transport": "ipc", "connection_file": file})


def last_words(folder, lines=12):
    """What kernels have lately written to stderr, outside of their cells."""
    log = Path(folder, LOG)
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(["", *text.splitlines()[-lines:]]) if text else ""


async def run(path, timeout, env):
    """Execute the notebook at `path` in a kernel of its own; returns it tidied, or raises
    RuntimeError with what went wrong.
    """
    nb = tidy(read(path))
    folder = env["JUPYTER_RUNTIME_DIR"]
    client = Client(
        nb,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        config=connection(folder),
    )
    try:
        await client.async_execute(env=env)
    except CellExecutionError as error:
        raise RuntimeError(COLOR.sub("", str(error))) from None
    except CellTimeoutError as error:
        raise RuntimeError(str(error)) from None
    except RuntimeError as error:  # the kernel has ended, perhaps before the first cell
        raise RuntimeError(f"{error}{last_words(folder)}") from None
    if any(
        output.output_type == "error" for cell in nb.cells for output in cell.get("outputs", [])
    ):
        raise RuntimeError("a cell stored a traceback; catch the exception and print it")
    return tidy(nb)


async def run_all(paths, jobs, timeout, env, done):
    """Run `paths`, `jobs` at a time; calls done(path, notebook or RuntimeError, seconds) as each
    one ends.
    """
    gate = asyncio.Semaphore(jobs)

    async def one(path):
        async with gate:
            start = time.perf_counter()
            try:
                result = await run(path, timeout, env)
            except RuntimeError as error:
                result = error
            done(path, result, time.perf_counter() - start)

    await asyncio.gather(*map(one, paths))


def stderr_of(nb):
    """(cell id, text) of everything a notebook wrote to stderr."""
    return [
        (c.id, o.text) for c in nb.cells for o in c.get("outputs", []) if o.get("name") == "stderr"
    ]


def unstable(nb):
    """One complaint for each output that cannot come out the same elsewhere."""
    for cell_id, text in stderr_of(nb):
        if UNSTABLE.search(text):
            line = UNSTABLE.search(text).string.strip().splitlines()[0]
            yield f"cell {cell_id} warns on stderr with a path of this machine: {line[:140]}\n" + (
                "    Catch the warning where it is the lesson "
                "(warnings.catch_warnings(record=True), print its message); mend it elsewhere."
            )
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            texts = [output.get("text", "")] if output.get("name") != "stderr" else []
            texts += [v for k, v in output.get("data", {}).items() if k.startswith("text/")]
            for text in texts:
                if hit := UNSTABLE.search(text):
                    seen = text[max(0, hit.start() - 20) : hit.end() + 40]
                    yield f"cell {cell.id} shows a path of this machine: {seen!r}"


def cmd_execute(args):
    failed = []

    def done(path, result, seconds):
        problems = [str(result)] if isinstance(result, RuntimeError) else list(unstable(result))
        if problems:
            failed.append(path)
            print(f"FAILED  {name(path)}  ({seconds:.1f} s), left as it was")
            print(*problems, sep="\n", flush=True)
            return
        new = text_of(result)
        changed = path.read_text(encoding="utf-8") != new
        path.write_text(new, encoding="utf-8")
        print(f"{'stored ' if changed else 'same   '} {name(path)}  {seconds:.1f} s", flush=True)
        for cell_id, text in stderr_of(result):
            print(
                f"    cell {cell_id} wrote to stderr: {text.strip().splitlines()[0][:120]}",
                flush=True,
            )

    paths = notebooks(args.paths)
    with kernel_environment() as env:
        asyncio.run(run_all(paths, args.jobs, args.timeout, env, done))
    print(f"execute: {len(paths) - len(failed)} of {len(paths)} notebooks ran")
    return bool(failed)


def image_shape(data):
    """(width, height, bytes) of a base64 image; width and height only where it is a PNG."""
    raw = base64.b64decode(data)
    if raw[:8] != b"\x89PNG\r\n\x1a\n":
        return None, None, len(raw)
    return int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big"), len(raw)


def alike(old, new):
    """Two shapes of one picture drawn on two machines: fonts move its border, compression its
    bytes.
    """
    sides = all(
        a == b or (a and b and abs(a - b) <= 0.05 * max(a, b)) for a, b in zip(old[:2], new[:2])
    )
    return sides and max(old[2], new[2]) <= 1.5 * min(old[2], new[2]) + 200


class Tolerance(NamedTuple):
    """How far the numbers of one cell may be from the stored ones: `unit` times the last shown
    digit, an absolute and a relative difference.
    """

    unit: float = 1.0
    absolute: float = 0.0
    relative: float = 0.0
    integers: bool = False  # also numbers without a decimal point or exponent, and signs

    def allows(self, old, new):
        """Whether the number written `new` may stand where `old` is stored."""
        a, b = (Decimal(text.replace("\u2212", "-")) for text in (old, new))
        shown = Decimal(1).scaleb(a.as_tuple().exponent)
        if "e" in old.lower() and not self.absolute and abs(a.adjusted() - b.adjusted()) > 1:
            # one digit of 1e+02 reaches down to zero, which is another order of magnitude
            return False
        allowed = max(
            shown * Decimal(self.unit), Decimal(self.absolute), abs(a) * Decimal(self.relative)
        )
        return abs(a - b) <= allowed


def tolerance_of(source):
    """The `Tolerance` of a cell: `#| tolerance: 0.02`, `#| tolerance: 5%`, with `integers` behind
    it for all numbers; without a tag, one unit of the last digit.
    """
    tag = TOLERANCE.search(source)
    if tag is None:
        return Tolerance()
    match = re.fullmatch(r"(\d+\.?\d*(?:e-?\d+)?)(%?)( integers)?", tag[1])
    if match is None:
        raise ValueError(
            f"{tag[0]!r}: write a number or a percentage, and `integers` behind it if these may "
            "differ too"
        )
    size, integers = float(match[1]), bool(match[3])
    return (
        Tolerance(0.0, 0.0, size / 100, integers)
        if match[2]
        else Tolerance(0.0, size, 0.0, integers)
    )


def same_line(old, new, tolerance):
    """Whether two lines of output say the same: equal text, and numbers that differ by no more than
    `tolerance` allows.
    """
    if old == new:
        return True
    number = SIGNED if tolerance.integers else DECIMAL
    # the width of a number moves what stands in the columns beside it
    words = [[" ".join(part.split()) for part in number.split(line)] for line in (old, new)]
    numbers = [number.findall(line) for line in (old, new)]
    return words[0] == words[1] and all(
        tolerance.allows(a, b) for a, b in zip(*numbers, strict=True)
    )


def lines_of(nb, reference=None):
    """{cell id: its first line of code and its outputs, as lines to compare}; a picture like the
    one in the same place of `reference` reads as that one.
    """
    cells, pictures = {}, pictures_of(reference) if reference else {}
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        lines = cells[cell.id] = [
            f"--- cell {cell.id}: {next(iter(cell.source.splitlines()), '')[:80]}"
        ]
        for place, output in enumerate(cell.outputs):
            if "text" in output:
                lines += [f"[{output.name}]", *output.text.splitlines()]
            for mime, value in sorted(output.get("data", {}).items()):
                if mime.startswith("image/"):
                    shape = shape_of(mime, value)
                    known = pictures.get((cell.id, place, mime))
                    shape = known if known and alike(known, shape) else shape
                    lines.append(f"[{mime}] {shape[0]} x {shape[1]} pixels, {shape[2]} bytes")
                elif mime == WIDGET_VIEW:
                    lines.append(f"[{mime}]")  # its content is a random id
                else:
                    value = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
                    lines += [f"[{mime}]", *value.splitlines()]
    return cells


def differences(stored, result):
    """Lines of a unified diff between the outputs of two runs of a notebook; numbers within the
    tolerance of their cell do not differ.
    """
    old, new = lines_of(stored), lines_of(result, stored)
    for cell in stored.cells:
        if cell.cell_type == "code" and len(old[cell.id]) == len(new[cell.id]):
            tolerance = tolerance_of(cell.source)
            pairs = zip(old[cell.id], new[cell.id], strict=True)
            new[cell.id] = [a if same_line(a, b, tolerance) else b for a, b in pairs]
    return list(
        difflib.unified_diff(
            sum(old.values(), []), sum(new.values(), []), "stored", "executed", n=1, lineterm=""
        )
    )


def shape_of(mime, value):
    return (None, None, len(value)) if "svg" in mime else image_shape(value)


def pictures_of(nb):
    return {
        (cell.id, place, mime): shape_of(mime, value)
        for cell in nb.cells
        for place, output in enumerate(cell.get("outputs", []))
        for mime, value in output.get("data", {}).items()
        if mime.startswith("image/")
    }


DOES_NOT_RUN = "it does not run:"


def complaints(path, result):
    """What is wrong with the outcome of a run of the notebook at `path`, as lines: nothing where it
    ran and shows what is stored.
    """
    if isinstance(result, RuntimeError):
        return [DOES_NOT_RUN, str(result)]
    stored, problems = tidy(read(path)), []
    try:
        diff = differences(stored, result)
    except ValueError as error:  # a tag that cannot be read
        diff, problems = [], [str(error)]
    if diff:
        problems += [line[:200] for line in diff[:60]]
        if len(diff) > 60:
            problems.append(f"... {len(diff) - 60} more lines of difference")
        problems.append(f"If the new outputs are right:  tools/nbs.py execute {name(path)}")
    problems += unstable(result)
    if stderr_of(stored) != stderr_of(result):
        problems.append(
            "what it writes to stderr differs: warnings belong to versions and machines, "
            "not into a notebook"
        )
    return problems


def problems_of(path, env, timeout=300):
    """Run one notebook in a `kernel_environment` and return its `complaints`."""
    found = []

    def done(path, result, seconds):
        found.extend(complaints(path, result))

    asyncio.run(run_all([path], 1, timeout, env, done))
    return found


def without_experiments():
    """The notebooks of every check: an experiment runs for minutes, `make test` runs it in small
    (tests/test_experiments.py), `make experiments` as it is.
    """
    return [path for path in notebooks(None) if path.parent.name != "experiments"]


def cmd_check(args):
    bad = []

    def done(path, result, seconds):
        problems = complaints(path, result)
        print(
            f"{'STALE ' if problems else 'fresh '}  {name(path)}  {seconds:.1f} s",
            *problems,
            sep="\n",
            flush=True,
        )
        if problems:
            bad.append(path)

    paths = notebooks(args.paths) if args.paths else without_experiments()
    if not paths:
        sys.exit("check: no notebook found, so nothing was checked")
    with kernel_environment() as env:
        asyncio.run(run_all(paths, args.jobs, args.timeout, env, done))
    print(f"check: {len(paths) - len(bad)} of {len(paths)} notebooks ran and match what is stored")
    return bool(bad)


# --- export ---------------------------------------------------------------------------------------


def cmd_export_check(args):
    """Export into a copy that holds no exported module: what nbdev_export alone does leaves the
    modules of renamed notebooks behind.
    """

    def modules(root):
        files = {
            p.relative_to(root).as_posix(): p.read_text(encoding="utf-8")
            for p in (root / "nnmf_nb").rglob("*.py")
        }
        return files | {"pyproject.toml": (root / "pyproject.toml").read_text(encoding="utf-8")}

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        copy.mkdir()
        for file in ("settings.ini", "pyproject.toml"):
            shutil.copy(ROOT / file, copy)
        shutil.copytree(ROOT / "nbs", copy / "nbs", ignore=shutil.ignore_patterns(".*", "*.png"))
        for init in (ROOT / "nnmf_nb").rglob("__*__.py"):
            (copy / init.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(init, copy / init.relative_to(ROOT))
        # not the user's nbdev settings
        env = {k: v for k, v in os.environ.items() if k != "IN_TEST"} | {"XDG_CONFIG_HOME": folder}
        export = "from nbdev.doclinks import nbdev_export; nbdev_export()"
        done = subprocess.run(
            [sys.executable, "-c", export], cwd=copy, env=env, capture_output=True, text=True
        )
        if done.returncode:
            print(
                done.stdout,
                done.stderr.replace(folder, ""),
                "export-check: nbdev_export failed",
                sep="\n",
            )
            return True
        committed, fresh = modules(ROOT), modules(copy)
    bad = 0
    for file in sorted(committed.keys() | fresh.keys()):
        if file not in fresh:
            what = "no notebook exports it (renamed? delete it)"
        elif file not in committed:
            what = "a notebook exports it, but it is not there"
        elif committed[file] != fresh[file]:
            what = "differs from what its notebook exports"
            diff = difflib.unified_diff(
                committed[file].splitlines(),
                fresh[file].splitlines(),
                file,
                "exported",
                n=1,
                lineterm="",
            )
            print(*list(diff)[:40], sep="\n")
        else:
            continue
        bad += 1
        print(f"DRIFT   {file}: {what}")
    if bad:
        print(
            "Edit the notebook, not the module; then  make export. Edits made in a module go back "
            "with  nbdev_update."
        )
    right, total = len(committed) - bad, len(committed)
    print(f"export-check: {right} of {total} files are what the notebooks export")
    return bool(bad)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sub = parser.add_subparsers(dest="command", required=True)
    for command in (cmd_execute, cmd_check, cmd_tidy, cmd_export_check):
        p = sub.add_parser(command.__name__.removeprefix("cmd_").replace("_", "-"))
        p.set_defaults(command=command)
        if command is cmd_export_check:
            continue
        p.add_argument(
            "paths",
            nargs="*",
            type=Path,
            metavar="PATHS",
            help="notebooks or folders (default: nbs/; check: without nbs/experiments/)",
        )
        if command is cmd_tidy:
            p.add_argument(
                "--check",
                action="store_true",
                help="write nothing, exit 1 if a notebook is not tidy",
            )
        else:
            p.add_argument(
                "-j",
                "--jobs",
                type=int,
                default=min(2, os.cpu_count() or 1),
                help="notebooks at a time (default: %(default)s)",
            )
            p.add_argument(
                "--timeout",
                type=float,
                default=300,
                help="seconds for one cell (default: %(default)s)",
            )
    args = parser.parse_args()
    sys.exit(args.command(args))


if __name__ == "__main__":
    main()
