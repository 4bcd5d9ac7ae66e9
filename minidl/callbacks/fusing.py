"""Fusing in a run: if it is long enough, the formula of its optimiser is compiled. `minidl.fit` knows the length."""

from collections.abc import Iterator
from contextlib import contextmanager

from minidl.backend import on_host
from minidl.loop import Callback, Training
from minidl.parameters.fusing import worth_fusing


class Fusing(Callback):
    """Let the optimiser fuse its formula during a run on the CPU, if that saves more time than it costs.

    Args:
        updates: how many updates the run will make.
    """

    def __init__(self, updates: int):
        self.updates = updates

    @contextmanager
    def around(self, state: Training) -> Iterator[None]:
        """Set ``optimizer.fused``, and put it back at the end."""
        optimizer, params = state.optimizer, state.model.params
        before = optimizer.fused
        if on_host(params) and worth_fusing(len(params), len(optimizer.state), self.updates - state.updates):
            optimizer.fused = True
        try:
            yield
        finally:
            optimizer.fused = before
