"""Metadata that is written twice says the same twice: the conda recipe, the citation and
settings.ini; and where numba cannot exist nothing asks for it.
"""

import importlib
import re
from configparser import ConfigParser
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
# names on conda-forge that differ from those on PyPI
CONDA_NAMES = {"matplotlib": "matplotlib-base"}
TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1}


def record(required, **properties):
    """The schema of a mapping that has no other keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


# what we use of the recipe format of rattler-build, schema_version 1
RECIPE = record(
    "schema_version context package source build requirements tests about",
    schema_version={"const": 1},
    context=record("version python_min", version=TEXT, python_min=TEXT),
    package=record(
        "name version", name={"type": "string", "pattern": "^[a-z0-9_.-]+$"}, version=TEXT
    ),
    source=record("path", path=TEXT),
    build=record(
        "number noarch script",
        number={"type": "integer", "minimum": 0},
        noarch={"const": "python"},
        script=TEXT,
    ),
    requirements=record("host run", host=TEXTS, run=TEXTS),
    tests={
        "type": "array",
        "minItems": 1,
        "items": {
            "oneOf": [
                record(
                    "python",
                    python=record(
                        "imports",
                        imports=TEXTS,
                        pip_check={"type": "boolean"},
                        python_version=TEXTS,
                    ),
                ),
                record("script", script=TEXTS, requirements=record("run", run=TEXTS)),
            ]
        },
    },
    about=record(
        "summary license license_file",
        summary={"type": "string", "maxLength": 120},
        description=TEXT,
        license={"enum": ["BSD-3-Clause"]},
        license_file=TEXT,
    ),
)


@pytest.fixture(scope="module")
def settings():
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


@pytest.fixture(scope="module")
def recipe():
    """The conda recipe with its context filled in."""
    text = (ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    context = yaml.safe_load(text)["context"]
    filled = re.sub(r"\$\{\{ (\w+) \}\}", lambda found: context[found[1]], text)
    return yaml.safe_load(filled)


def test_recipe_has_the_form_of_a_recipe(recipe):
    jsonschema.Draft202012Validator.check_schema(RECIPE)
    jsonschema.validate(recipe, RECIPE)
    for broken in (recipe | {"url": "x"}, recipe | {"build": {"number": 0}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, RECIPE)


def test_recipe_agrees_with_settings(recipe, settings):
    assert recipe["package"] == {"name": settings["lib_name"], "version": settings["version"]}
    assert recipe["context"]["python_min"] == settings["min_python"]
    assert recipe["about"]["summary"] == settings["description"]
    needed = [Requirement(one) for one in settings["requirements"].split()]
    wanted = [f"{CONDA_NAMES.get(one.name, one.name)} {one.specifier}" for one in needed]
    assert recipe["requirements"]["run"] == [f"python >={settings['min_python']}", *wanted]
    build = re.search(r'requires = \["setuptools(.*?)"\]', (ROOT / "pyproject.toml").read_text())
    assert f"setuptools {build[1]}" in recipe["requirements"]["host"]


def test_files_and_modules_of_the_recipe_are_there(recipe):
    folder = ROOT / "conda" / recipe["source"]["path"]
    assert (folder / recipe["about"]["license_file"]).is_file() and (folder / "setup.py").is_file()
    for module in recipe["tests"][0]["python"]["imports"]:
        path = ROOT.joinpath(*module.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file()


def test_bare_environments_leave_out_what_they_say(monkeypatch, settings):
    monkeypatch.syspath_prepend(ROOT / "tools")
    bare = importlib.import_module("bare")
    count = len(settings["requirements"].split())
    for without in bare.ABSENT.values():
        left = {Requirement(one).name for one in bare.requirements(without)}
        assert len(left) == count - len(without) and not left & {*without}
    with pytest.raises(SystemExit, match="not all among the requirements"):
        bare.requirements(("numba", "torch"))


def test_nothing_asks_for_numba_where_it_cannot_exist(settings):
    needed = {one.name: one for one in map(Requirement, settings["requirements"].split())}
    marked = [name for name, one in needed.items() if one.marker is not None]
    assert marked == ["numba"]
    marker = needed["numba"].marker
    assert marker.evaluate({"sys_platform": "linux"})
    assert not marker.evaluate({"sys_platform": "emscripten"})
