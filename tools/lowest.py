"""Run notebooks and tests, without the browser, with the lowest versions that settings.ini allows
and on every supported Python.

    lowest.py          the lowest versions on the oldest Python, then the newest versions on each
    Python
    lowest.py --list   the interpreters that were found

Each environment is a folder .venv-NAME beside .venv; it is kept for the next run and made anew when
settings.ini changes. What numba compiles is kept in it too, because processes of another version of
numba cannot read it.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from configparser import ConfigParser
from pathlib import Path
from shutil import rmtree, which

from gates import ROOT, cores, minutes, one_thread_each, pytest_command


def settings():
    """The section of settings.ini."""
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def pythons(oldest, newest):
    """{version: interpreter or None} of the supported ones: on the PATH or in pyenv's folder."""
    found = {}
    for minor in range(int(oldest.split(".")[1]), int(newest.split(".")[1]) + 1):
        version = f"3.{minor}"
        pyenv = sorted(
            Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(
                f"versions/{version}.*/bin/python"
            )
        )
        candidates = [which(f"python{version}"), *map(str, reversed(pyenv))]
        found[version] = next(filter(is_python(version), filter(None, candidates)), None)
    return found


def is_python(version):
    """Whether a command is an interpreter of that version (a shim of pyenv need not be)."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return lambda command: (
        subprocess.run([command, "-c", code], capture_output=True, text=True).stdout.strip()
        == version
    )


def lowest(requirements):
    """Each requirement at the lowest version that it allows."""
    return [re.sub(r">=([\w.]+).*", r"==\1", requirement) for requirement in requirements.split()]


def environment(name, python, pins):
    """The interpreter of .venv-NAME, made when it is missing or older than settings.ini."""
    folder = ROOT / f".venv-{name}"
    stamp = folder / "installed"
    if not stamp.exists() or stamp.stat().st_mtime < (ROOT / "settings.ini").stat().st_mtime:
        rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        install = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--editable",
            ".[dev]",
        ]
        subprocess.run([*install, *pins], cwd=ROOT, check=True)
        stamp.touch()
    return str(folder / "bin" / "python")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="install and run nothing")
    parser.add_argument(
        "--only", metavar="NAME", help="one environment: lowest, 3.11, 3.12 or 3.13"
    )
    parser.add_argument(
        "-j", "--jobs", type=int, default=cores(), help="processes (default: %(default)s)"
    )
    args = parser.parse_args()
    cfg = settings()
    found = pythons(cfg["min_python"], cfg["max_python"])
    runs = [
        ("lowest", found[cfg["min_python"]], lowest(cfg["requirements"])),
        *((version, python, []) for version, python in found.items()),
    ]
    failed, ran = [], 0
    for name, python, pins in runs:
        if args.only not in (None, name):
            continue
        print(
            f"== {name}: {python or 'no interpreter found, skipped'} {' '.join(pins)}".rstrip(),
            flush=True,
        )
        if python is None or args.list:
            continue
        began, ran = time.monotonic(), ran + 1
        try:
            own = environment(name, python, pins)
            command = [own, *pytest_command(args.jobs, "-q", "-m", "not browser")]
            variables = {"NUMBA_CACHE_DIR": str(ROOT / f".venv-{name}" / "kernels")}
            code = subprocess.run(
                command, cwd=ROOT, env=one_thread_each(os.environ) | variables
            ).returncode
        except subprocess.CalledProcessError as error:
            code = error.returncode
        print(
            f"   {'FAILED' if code else 'passed'} after {minutes(time.monotonic() - began)}",
            flush=True,
        )
        failed += [name] * bool(code)
    if failed:
        sys.exit(f"== FAILED: {', '.join(failed)}")
    print(f"== passed in {ran} environments" if ran else "== nothing was run")


if __name__ == "__main__":
    main()
