"""Fusing in a run: on a GPU always, on a CPU if the run is long enough, which `minidl.fit` knows beforehand."""

from collections.abc import Iterator
from contextlib import contextmanager

from minidl.backend import on_host
from minidl.loop import Callback, Training
from minidl.parameters.fusing import worth_fusing


class Fusing(Callback):
    """Let the optimiser fuse its formula during a run, if that saves more time than it costs.

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
        updates = self.updates - state.updates
        if not on_host(params) or worth_fusing(len(params), len(optimizer.state), updates):
            optimizer.fused = True
        try:
            yield
        finally:
            optimizer.fused = before
