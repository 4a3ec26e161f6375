import logging
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from scgim.spaces._global_state import (
    keep_interrupt_handler,
    keep_random_state,
    one_thread,
    quiet_lightning,
)


def test_random_state_is_as_it_was_even_after_an_error():
    @keep_random_state
    def draw(x, *, fail=False):
        """Draw."""
        torch.rand(x)
        if fail:
            raise ValueError
        return x

    before = torch.get_rng_state()
    assert draw(3) == 3
    with pytest.raises(ValueError, match=r"^$"):
        draw(3, fail=True)
    assert torch.equal(torch.get_rng_state(), before)
    assert draw.__doc__ == "Draw."


def test_number_of_threads_is_as_it_was_even_after_an_error():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match=r"^inside 1$"), one_thread():
            _fail_with_number_of_threads()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def _fail_with_number_of_threads():
    message = f"inside {torch.get_num_threads()}"
    raise RuntimeError(message)


def test_interrupt_handler_is_put_back_in_the_main_thread_and_left_alone_in_others():
    before = signal.getsignal(signal.SIGINT)
    with keep_interrupt_handler():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) is before
    with ThreadPoolExecutor() as pool:  # only the main thread may set handlers
        pool.submit(_enter_and_leave).result()


def _enter_and_leave():
    with keep_interrupt_handler():
        pass


def test_lightning_is_quiet_inside_and_as_before_outside():
    logger = logging.getLogger("lightning.pytorch")
    before, level = warnings.showwarning, logger.level
    logger.setLevel(logging.INFO)
    try:
        with quiet_lightning():
            assert not logging.getLogger("lightning.pytorch.utilities.rank_zero").isEnabledFor(
                logging.INFO
            )
        assert logger.level == logging.INFO
        logger.setLevel(logging.DEBUG)  # of a user who wants to hear everything
        with quiet_lightning():
            assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(level)
    assert warnings.showwarning is before


def test_deprecations_within_packages_are_kept_from_the_user_and_others_are_not():
    place = {"filename": "/site-packages/lightning/pytorch/loop.py", "lineno": 1}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # noqa: TID251 - put back at the end of the block
        with quiet_lightning():
            warnings.warn_explicit("of a package", FutureWarning, **place)
            warnings.warn_explicit("of a loop", UserWarning, **place)
            warnings.warn_explicit("of mine", FutureWarning, "mine.py", 1)
    assert [str(warning.message) for warning in caught] == ["of a loop", "of mine"]


def test_training_prints_nothing_of_other_packages(screen, trained, capfd):
    trained(screen.copy(), max_epochs=2, fix_gauge=True, enable_progress_bar=True)
    printed = capfd.readouterr()
    assert printed.out == ""
    for word in ("GPU", "TPU", "Tip", "deprecated", "logging interval", "max_epochs"):
        assert word not in printed.err
    for words in ("Training 2/2", "Estimating interventions", "Choosing the basis of the nodes"):
        assert words in printed.err
