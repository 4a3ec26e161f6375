"""Sphinx configuration; `sphinx-build -W -b html docs docs/_build/html` builds the pages."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.util.logging import getLogger

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
os.environ.pop("MPLBACKEND", None)  # tutorials draw into their pages, not into a file
sys.path.insert(0, str(HERE))

from benchmark_tables import render_results  # noqa: E402, a module beside this file

project = "scgim"
author = "scgim developers"
copyright = "2026, scgim developers"
release = installed_version("scgim")
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "myst_nb",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["scgim.css"]
html_theme = "sphinx_book_theme"
html_title = "scgim"
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the sidebar has the search field
    "show_toc_level": 2,
}
pygments_style = "default"

# Every reference into scgim must resolve. References into other packages resolve only where their
# inventories can be downloaded, which a build without network must not depend on.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!scgim\b).*"),
    (r"py:.*", r"scgim\.(\w+\.)*_.*"),  # bases and aliases that live in private modules only
]
if os.environ.get("SCGIM_DOCS_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "python": ("https://docs.python.org/3", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
        "scvi": ("https://docs.scvi-tools.org/en/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_attr_annotations = False  # it does not escape "np.bool_"
napoleon_custom_sections = ["Returns"]  # plain text, since the annotation has the type
napoleon_use_ivar = True
napoleon_use_rtype = False

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
if not os.environ.get("SCGIM_DATA"):
    # Sphinx names what it leaves out; the page itself says where the data come from.
    nb_execution_excludepatterns = ["tutorials/genetic_screen.ipynb"]
    getLogger(__name__).info("SCGIM_DATA is not set: tutorials/genetic_screen is not executed.")
nb_merge_streams = True
# Progress bars and log lines say nothing on a page.
nb_output_stderr = "remove"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def skip_foreign_members(
    app: Sphinx, what: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """Leave out what a class inherits from other packages; their own pages document it."""
    function = getattr(member, "fget", None) or getattr(member, "func", None) or member
    if not str(getattr(function, "__module__", "")).startswith("scgim"):
        return True
    return None


def rejoin_property_text(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Undo napoleon's reading of 'Text: more text' in a property as a type and its description."""
    types = [line for line in lines if line.startswith(":type: ")]
    if what == "property" and types:
        lines.remove(types[0])
        lines[0] = f"{types[0].removeprefix(':type: ')}: {lines[0]}"


def copy_tutorials() -> None:
    """Copy the tutorials into the source tree, where Sphinx wants them; git ignores the copies."""
    target = HERE / "tutorials"
    target.mkdir(exist_ok=True)
    for notebook in (HERE.parent / "tutorials").glob("*.ipynb"):
        copy = target / notebook.name
        if not copy.exists() or copy.read_bytes() != notebook.read_bytes():
            shutil.copyfile(notebook, copy)


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("autodoc-skip-member", skip_foreign_members)
    app.connect("autodoc-process-docstring", rejoin_property_text, priority=600)


def write_benchmark_tables() -> None:
    """Write the tables that the benchmarks page includes; git ignores them."""
    tables = render_results(HERE / "benchmarks")
    target = HERE / "benchmarks" / "generated_tables.txt"
    if not target.exists() or target.read_text() != tables:
        target.write_text(tables)


copy_tutorials()
write_benchmark_tables()
