import re

import pytest

from scgim._validation._benchmark import check_screen_labels, check_target_screen


def test_a_screen_without_its_control_is_refused():
    with pytest.raises(ValueError, match="vehicle"):
        check_screen_labels("drug", ["a", "b"], "vehicle")


def test_a_screen_without_known_targets_is_refused():
    message = (
        "The screen 'mine.h5ad' has no obs['is_control'], uns['known_targets'], but a benchmark of "
        "targets reads the perturbation of each cell, which cells are control, and the known targets "
        "(columns `perturbation` and `target`). Add them."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        check_target_screen("mine.h5ad", ["perturbation"], [])
    check_target_screen("mine.h5ad", ["perturbation", "is_control"], ["known_targets"])
