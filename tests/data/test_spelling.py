import re

import pytest

from scgim.data._spelling import check_spelling


@pytest.mark.parametrize("other", ["JQ1 ", "jq1", "J Q1", "\tJq1"])
def test_two_spellings_of_one_name_are_named(other):
    message = (
        f"`adata.obs['drug']` has 'JQ1' and {other!r}, which differ in upper case or blanks only "
        "and would be two perturbations. Give them one label or, if they are two, names that "
        "differ in more."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_spelling(["vehicle", "JQ1", other], "`adata.obs['drug']`")


def test_different_names_pass():
    check_spelling(["vehicle", "JQ1", "JQ2", "JQ-1", "JQ1-b", "JQ1"], "`adata.obs['drug']`")
