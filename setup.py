"""Packaging of nnmf_nb: what can differ is read from settings.ini, which nbdev reads too."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).resolve().parent  # a build back end may start setup.py anywhere
parser = ConfigParser(delimiters=["="])
parser.read(here / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]

needed = (
    "lib_name version description keywords author license status min_python max_python audience "
    "language lib_path requirements"
)
absent = [key for key in needed.split() if not cfg.get(key)]
if absent:
    raise SystemExit(f"settings.ini: no value for {', '.join(absent)}")

# From version 77 on setuptools wants an SPDX expression; the classifiers are deprecated.
spdx = {"apache2": "Apache-2.0", "bsd3": "BSD-3-Clause", "mit": "MIT"}
stages = (
    "1 - Planning,2 - Pre-Alpha,3 - Alpha,4 - Beta,5 - Production/Stable,6 - Mature,7 - Inactive"
).split(",")
oldest, newest = (int(cfg[key].split(".")[1]) for key in ("min_python", "max_python"))
pythons = [f"3.{minor}" for minor in range(oldest, newest + 1)]
suffix = "_requirements"

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8")
    if (here / "README.md").exists()
    else "",
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license_expression=spdx[cfg["license"]],
    license_files=["LICENSE"],
    keywords=cfg["keywords"],
    packages=find_packages(str(here), include=[cfg["lib_path"], cfg["lib_path"] + ".*"]),
    include_package_data=False,  # package_data alone decides, in wheels and sdists alike
    package_data={cfg["lib_path"]: cfg["package_data"].split()},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={
        key.removesuffix(suffix): cfg[key].split() for key in cfg if key.endswith(suffix)
    },
    entry_points={"nbdev": f"{cfg['lib_name']}={cfg['lib_path']}._modidx:d"},
    classifiers=[
        "Development Status :: " + stages[int(cfg["status"]) - 1],
        f"Intended Audience :: {cfg['audience']}",
        f"Natural Language :: {cfg['language']}",
        "Framework :: Jupyter",
        "Topic :: Scientific/Engineering",
        *(f"Programming Language :: Python :: {v}" for v in pythons),
    ],
    zip_safe=False,
)
