import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from scgim.spaces._global_state import keep_interrupt_handler, keep_random_state, one_thread


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
