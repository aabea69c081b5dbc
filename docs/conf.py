"""Settings of Sphinx. tools/docs.py puts this file beside the notebooks, in _docs/source, and runs
Sphinx there; nothing is executed and nothing fetched.
"""

import re

from sphinx.ext import autosummary

import nnmf_nb

project = "nnmf_nb"
author = "nnmf_nb contributors"
copyright = "nnmf_nb contributors, BSD-3-Clause"
version = release = nnmf_nb.__version__
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax"]
extensions += ["numpydoc"]
templates_path = ["_templates"]
exclude_patterns = ["_templates", "gallery.md"]  # the first page includes the gallery
suppress_warnings = [
    "mystnb.unknown_mime_type",
    "autosummary.import_cycle",
    "misc.highlighting_failure",  # cells that are not Python: make, shell
    "myst.header",  # a notebook may skip a level of headings
]

nb_execution_mode = "off"
nb_ipywidgets_js = {}  # these would come from a CDN
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

autosummary_generate = True
autodoc_typehints = "none"  # the types stand in the docstrings
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}, "svg": {"fontCache": "global"}}

html_theme = "furo"
html_title = f"nnmf_nb {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_extra"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#00629b", "color-brand-content": "#00629b"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}


def leave_out_scikit_learns(app, what, name, member, skip, options):
    """Methods that come from scikit-learn as they are have their documentation there."""
    own = str(getattr(member, "__module__", None) or "")
    return True if own.startswith("sklearn.") or re.fullmatch("set_.*_request", name) else None


IN_BACKTICKS = re.compile(r"(`+[^`]*`+)")
NAME_IN_TEXT = re.compile(r"\b(\w+)_(?=[,)]|\s(?!:)|$)")


def escape_for_rst(app, what, name, obj, options, lines):
    """Docstrings are plain text: names that end with _ are no links, nor |x| a substitution."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = IN_BACKTICKS.split(line)
            parts[::2] = [NAME_IN_TEXT.sub(r"\1\\_", one).replace("|", "\\|") for one in parts[::2]]
            lines[i] = "".join(parts)


def first_line(lines, document):
    """The summary of a name: its first line, where Sphinx would end at the first period."""
    return next((line.strip() for line in lines if line.strip()), "")


autosummary.extract_summary = first_line


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", escape_for_rst, priority=400)
    app.connect("autodoc-skip-member", leave_out_scikit_learns)
