"""Build wheel and sdist, install them into clean environments, and use the package from there.

    installed.py             run the quickstart and the command line from the wheel alone
    installed.py --bridges   run the tests of bridges and app too, with the libraries of their
                             extras, and let the tool that builds conda packages read the recipe

Nothing of this checkout is on the path of what runs: neither the package nor its notebooks.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "nbs" / "quickstart.ipynb"


def run(*command, **more):
    """Run a command; end with what it printed if it fails."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    environment = clean | {"MPLBACKEND": "agg"}
    done = subprocess.run(
        [*map(str, command)], env=environment, capture_output=True, text=True, **more
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}installed: failed: {' '.join(map(str, command))}")
    return done.stdout


def built(folder):
    """Wheel and sdist of this checkout."""
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def clean_environment(folder):
    """The interpreter of a new environment, which has nothing but pip."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def install(python, *what):
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)


def contents(wheel):
    """The files of a wheel but its record, as {name: digest}."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if not name.endswith("RECORD")
        }


def check_contents(wheel):
    """End if something that a user needs is not in the wheel, or something else is."""
    names = {*contents(wheel)}
    needed = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "nnmf_nb").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    strangers = {name for name in names if not name.startswith(("nnmf_nb/", "nnmf_nb-"))}
    if needed - names or strangers:
        sys.exit(f"installed: missing {sorted(needed - names)}, too much {sorted(strangers)}")


def code_of(notebook):
    """The code of a notebook as a program."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return "\n\n".join(code) + "\nimport nnmf_nb\nprint(nnmf_nb.__file__)\n"


def use(python, folder):
    """Run the quickstart and the command line in an empty folder."""
    folder.mkdir()
    (folder / "quickstart.py").write_text(code_of(QUICKSTART), encoding="utf-8")
    said = run(python, "quickstart.py", cwd=folder)
    where = Path(said.strip().splitlines()[-1])
    if ROOT in where.parents:
        sys.exit(f"installed: the quickstart used {where}, which is no installed package")
    lines = [
        "red apples",
        "green apples",
        "red pears",
        "green pears",
        "old trees",
        "tall old trees",
    ]
    (folder / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    command = "lines.txt --ranks 2 --out page.html --save model.safetensors --quiet"
    run(python, "-m", "nnmf_nb", *command.split(), cwd=folder)
    if (folder / "page.html").stat().st_size < 10_000:
        sys.exit("installed: the command line wrote no page")


def test_bridges(python, wheel, folder):
    """The tests of bridges and app with the installed libraries; none may be skipped."""
    folder.mkdir()
    install(python, f"{wheel}[bridges,app]", "pytest")
    for name in ("test_bridges.py", "test_apps.py"):
        (folder / name).write_text((ROOT / "tests" / name).read_text(encoding="utf-8"))
    said = run(python, "-m", "pytest", "-q", "-rs", cwd=folder)
    if "skipped" in said:
        sys.exit(f"{said}\ninstalled: some were skipped")
    return said.strip().splitlines()[-1]


def check_recipe(python):
    """The conda recipe as rattler-build, which builds from it, reads and renders it."""
    install(python, "py-rattler-build")
    code = (
        "import sys, rattler_build as tool;"
        "recipe = tool.Stage0Recipe.from_yaml(open(sys.argv[1], encoding='utf-8').read());"
        "print(*recipe.render(tool.VariantConfig()))"
    )
    return run(python, "-c", code, ROOT / "conda" / "recipe.yaml").strip()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bridges", action="store_true", help="the tests of bridges and app too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel, sdist = built(folder / "dist")
        check_contents(wheel)
        print(f"built {wheel.name} ({wheel.stat().st_size / 1e6:.1f} MB) and {sdist.name}")
        run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder / "again", sdist)
        again = next((folder / "again").glob("*.whl"))
        if contents(again) != contents(wheel):
            sys.exit("installed: the sdist builds another wheel")
        print("the sdist builds the same wheel")
        python = clean_environment(folder / "environment")
        install(python, wheel)
        use(python, folder / "empty")
        print("the quickstart and the command line run from the wheel alone")
        if args.bridges:
            print("bridges and app:", test_bridges(python, wheel, folder / "bridges"))
            print("conda recipe:", check_recipe(python))


if __name__ == "__main__":
    main()
