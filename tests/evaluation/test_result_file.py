import json

import pandas as pd
import pytest

from scgim.evaluation._result_file import to_records, write_document


def test_what_was_not_measured_is_null_in_the_file(tmp_path):
    table = pd.DataFrame({"metric": ["R²", "EC50"], "value": [0.5, float("nan")]})
    write_document({"scores": to_records(table)}, tmp_path / "result.json")
    written = (tmp_path / "result.json").read_text()
    assert "R²" in written
    assert written.endswith("\n")
    assert json.loads(written)["scores"] == [
        {"metric": "R²", "value": 0.5},
        {"metric": "EC50", "value": None},
    ]


def test_a_number_that_is_not_finite_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_document({"value": float("inf")}, tmp_path / "result.json")
