"""Rules of the whole repository that no linter checks."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml

import scgim

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "scgim").glob("*/**/_[!_]*.py"))
PACKAGES = sorted(path.parent.name for path in (ROOT / "scgim").glob("[!_]*/__init__.py"))
TUTORIALS = sorted((ROOT / "tutorials").glob("*.ipynb"))
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(scgim.__path__, "scgim.")
    if not module.name.endswith("__main__")
)
# Settings of global state that a user may have chosen, as text.
GLOBAL_STATE = """
import json, logging, os, warnings
import matplotlib, numpy, pandas, scanpy, scvi, torch

def state():
    return {
        "environment": dict(os.environ),
        "logging level": logging.getLogger().level,
        "matplotlib": str(dict(matplotlib.rcParams)),
        "numpy errors": str(numpy.geterr()),
        "numpy print options": str(numpy.get_printoptions()),
        "numpy seed": str(numpy.random.get_state()),
        "pandas": str(pandas.get_option("mode.copy_on_write")) + str(pandas.get_option("display.max_rows")),
        "scvi": [str(scvi.settings.seed), scvi.settings.batch_size, scvi.settings.verbosity],
        "torch dtype": str(torch.get_default_dtype()),
        "torch gradients": torch.is_grad_enabled(),
        "torch seed": torch.get_rng_state().tolist(),
        "torch threads": torch.get_num_threads(),
        "warning filters": [str(entry) for entry in warnings.filters],
    }

before = state()
import scgim.cli, scgim.data, scgim.module, scgim.scm, scgim.train
after = state()
print(json.dumps([name for name in before if before[name] != after[name]]))
"""


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "scgim")))
def test_module_has_its_mirror_test(source: Path):
    folder = source.relative_to(ROOT / "scgim").parent
    mirror = ROOT / "tests" / folder / f"test{source.name}"
    assert mirror.exists(), f"{source.relative_to(ROOT)} has no {mirror.relative_to(ROOT)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_all_names_every_public_object_and_nothing_else(package: str):
    module = importlib.import_module(f"scgim.{package}")
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }
    assert public == set(getattr(module, "__all__", []))


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "cli"])
def test_each_public_object_is_on_its_api_page(package: str):
    public = getattr(importlib.import_module(f"scgim.{package}"), "__all__", [])
    page = ROOT / "docs" / "api" / f"{package}.md"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    assert set(re.findall(r"^   (\w+)$", text, flags=re.MULTILINE)) == set(public)


def test_each_public_package_is_there_after_importing_scgim():
    public = [name for name in PACKAGES if name != "cli"]
    code = f"import scgim; print([getattr(scgim, name).__name__ for name in {public}])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout.strip() == str([f"scgim.{name}" for name in public])
    assert set(public) <= set(dir(scgim))


def test_importing_scgim_changes_no_global_state():
    run = subprocess.run([sys.executable, "-c", GLOBAL_STATE], capture_output=True, check=True)
    assert json.loads(run.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str):
    results = doctest.testmod(
        importlib.import_module(name),
        extraglobs={"np": np, "torch": torch, "scgim": scgim},
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert results.failed == 0


def test_readme_example_runs():
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    assert "simulate_screen()" in code
    assert "model.train()" in code
    small = code.replace(
        "simulate_screen()", "simulate_screen(n_genes=60, n_control=200, n_cells=8)"
    )
    namespace: dict = {}
    exec(small.replace("model.train()", "model.train(max_epochs=2)"), namespace)
    held_out = namespace["adata"].uns["held_out"]
    assert namespace["predicted"].n_obs == 100 * len(held_out)
    drugs = set(namespace["adata"].obs["drug"]) - {"vehicle"}
    assert set(namespace["targets"]["perturbation"]) == drugs


@pytest.mark.parametrize("notebook", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial_has_no_outputs_and_ends_in_a_check(notebook: Path):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert "assert " in "".join(code[-1]["source"])
    assert f"tutorials/{notebook.stem}\n" in (ROOT / "docs" / "tutorials.md").read_text()


def test_the_conda_recipe_asks_for_what_the_package_asks_for():
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {"matplotlib": "matplotlib-base", "torch": "pytorch"}
    expected = {f"python {project['requires-python']}"}
    for requirement in project["dependencies"]:
        name, bound = requirement.split(">=")
        expected.add(f"{names.get(name, name)} >={bound}")
    assert set(recipe["requirements"]["run"]) == expected
    assert recipe["context"]["version"] == project["version"]
    scripts = [f"{name} = {target}" for name, target in project["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts


def test_citation_and_package_have_the_same_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {scgim.__version__}\n" in citation


@pytest.mark.skipif(not (ROOT / ".github").exists(), reason="the source archive leaves it out")
def test_workflow_and_issue_files_are_yaml_and_one_workflow_runs_all_checks():
    files = {path.name: path.read_text("utf-8") for path in (ROOT / ".github").rglob("*.yml")}
    parsed = {name: yaml.safe_load(text) for name, text in files.items()}
    steps = [step for job in parsed["ci.yml"]["jobs"].values() for step in job["steps"]]
    assert "bash .ci/run" in [step.get("run") for step in steps]
    assert all(isinstance(content, dict) for content in parsed.values())


def test_package_recipe_and_citation_name_the_same_addresses():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    about = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))["about"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"Changelog", "Documentation", "Homepage", "Issues", "Source"} == set(urls)
    assert [about["homepage"], about["repository"]] == [urls["Homepage"], urls["Source"]]
    assert citation["repository-code"] == urls["Source"]
    assert citation["url"] == about["documentation"] == urls["Documentation"]
