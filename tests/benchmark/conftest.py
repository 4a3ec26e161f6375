from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def screen(training_screen):
    return training_screen
