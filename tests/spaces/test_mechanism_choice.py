import sys
from types import ModuleType

import pytest
from fixtures.mechanisms import Saturating

from scgim.scm import LinearMechanism, Mechanism, MLPMechanism
from scgim.spaces._mechanism_choice import find_mechanism, name_mechanism

OUTSIDE = "fixtures.mechanisms:Saturating"


class Outer:
    class Inner(Saturating):
        pass


class Unfinished(Mechanism):
    pass


@pytest.mark.parametrize(
    ("mechanism", "name"),
    [
        ("linear", "linear"),
        (LinearMechanism, "linear"),
        ("mlp", "mlp"),
        (MLPMechanism, "mlp"),
        (Saturating, OUTSIDE),
        (OUTSIDE, OUTSIDE),
        (Outer.Inner, f"{__name__}:Outer.Inner"),
    ],
)
def test_a_mechanism_has_one_name_by_which_it_is_found_again(mechanism, name):
    assert name_mechanism(mechanism) == name
    expected = mechanism if isinstance(mechanism, type) else find_mechanism(name)
    assert find_mechanism(name) is expected


def test_unknown_names_are_refused():
    message = (
        r"^`mechanism='cubic'` is not a choice\. Choose one of \['linear', 'mlp'\], or pass a subclass "
        r"of `scgim\.scm\.Mechanism`\.$"
    )
    with pytest.raises(ValueError, match=message):
        name_mechanism("cubic")


@pytest.mark.parametrize(
    ("wrong", "what"),
    [(dict, "the class `dict`"), (LinearMechanism(2), r"LinearMechanism\(\)"), (3, "3")],
)
def test_what_is_no_mechanism_is_refused(wrong, what):
    with pytest.raises(TypeError, match=rf"^`mechanism` is {what}, which is not a mechanism\. "):
        name_mechanism(wrong)


def test_unfinished_mechanisms_are_refused():
    message = r"^`mechanism=Unfinished` lacks \['parent_effect'\], which a mechanism must define\. "
    with pytest.raises(TypeError, match=message):
        name_mechanism(Unfinished)


def test_a_class_that_no_file_could_find_again_is_refused():
    class Local(Saturating):
        pass

    with pytest.raises(
        ValueError, match=r"Define the class at the top level of a module, a script"
    ):
        name_mechanism(Local)


def test_nothing_that_a_name_says_is_imported(tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    (tmp_path / "not_imported.py").write_text(f"open({str(ran)!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = r"module `not_imported`, which is not imported.* Run `import not_imported` first"
    with pytest.raises(ValueError, match=message):
        find_mechanism("not_imported:Anything")
    assert not ran.exists()
    assert "not_imported" not in sys.modules


def test_asking_a_module_for_a_name_does_not_run_its_code(monkeypatch):
    module = ModuleType("lazy")
    module.__getattr__ = lambda name: pytest.fail("ran code of the module")
    monkeypatch.setitem(sys.modules, "lazy", module)
    with pytest.raises(ValueError, match=r"`lazy` is imported but has no `Anything`"):
        find_mechanism("lazy:Anything")


def test_names_of_other_things_are_refused():
    with pytest.raises(TypeError, match=r"^`mechanism` is the class `Popen`, which is not a mech"):
        find_mechanism("subprocess:Popen")
    with pytest.raises(TypeError, match=r"which is not a mechanism"):
        find_mechanism("os:system")
