"""The state of an optimiser between steps: a count, and vectors as long as the parameters of one model."""

from typing import Any, ClassVar, Self
from weakref import ReferenceType, ref

from minidl.backend import Array, array_module
from minidl.checks import flag
from minidl.parameters.fusing import Formula, carry_out
from minidl.parameters.ownership import Home, home_of, same_home
from minidl.parameters.settings import Settings


class OptimizerState(Settings):
    """The base of `minidl.Optimizer` that makes its state, and refuses the parameters of another model."""

    t: int
    state: dict[str, Array]
    state_names: ClassVar[tuple[str, ...]]
    fused: bool = False
    """Whether formulas are carried out in one loop: `minidl.fit` sets it where that saves time, you may in a loop of
    your own. It changes no result."""
    _fused: bool = False  # whether the latest formula really was
    _home: Home | None = None  # where the parameters are that the state belongs to; None if that is not known
    _latest: "ReferenceType[Array] | None" = None  # the array that the latest step was made on

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Give every optimiser a state, also one of your own whose ``__init__`` does not call that of `Optimizer`."""
        optimizer = super().__new__(cls)
        object.__setattr__(optimizer, "state", {})
        return optimizer

    def prepare(self, params: Array, grads: Array) -> None:
        """Refuse arrays that do not fit, as `step` does; before the first step, make the state."""
        self.check(params, grads)
        if self.state_names and not self.state:
            self.state, self._home = {name: array_module(params).zeros_like(params) for name in self.state_names}, None
        if self._carries(params) and not self._seen(params):
            self._home, self._latest = self._home or home_of(params), ref(params)

    def check(self, params: Array, grads: Array) -> None:
        """Refuse arrays that do not fit, as `step` does, and change nothing."""
        if params.ndim != 1 or params.shape != grads.shape or params.dtype != grads.dtype:
            raise ValueError(
                "params, grads: expected two vectors of equal length and dtype, "
                f"got {params.shape} {params.dtype} and {grads.shape} {grads.dtype}"
            )
        self.check_precision(params.dtype)
        for vector in self.state.values():
            if vector.shape != params.shape or vector.dtype != params.dtype:
                raise ValueError(
                    f"params: {type(self).__name__} has made steps on {vector.shape} {vector.dtype}, "
                    f"got {params.shape} {params.dtype}; use a new optimiser for another model"
                )
        if self._home is not None and self._carries(params) and not self._seen(params):
            home = home_of(params)
            if home is not None and not same_home(home, self._home):
                raise ValueError(
                    f"params: {type(self).__name__} has made steps on another model, and what it remembers of them is "
                    "of no use here; use a new optimiser, or let it forget them with optimizer.reset()"
                )

    def undeclared(self, params: Array) -> list[str]:
        """Return the names of vectors as long as ``params`` that are kept beside the state: no checkpoint has them."""
        return [name for name, value in vars(self).items() if getattr(value, "shape", None) == params.shape]

    def _carries(self, params: Array) -> bool:
        """Tell whether vectors go from step to step."""
        return bool(self.state or self.undeclared(params))

    def _seen(self, params: Array) -> bool:
        """Tell whether the latest step was made on this very array, so that there is nothing to find out."""
        return self._latest is not None and self._latest() is params

    def apply(self, formula: Formula, arrays: tuple[Array, ...], scalars: tuple[float, ...]) -> None:
        """Change w and the state, ``arrays`` without the second, by a formula; see `minidl.parameters.fusing`."""
        self._fused = carry_out(formula, arrays, scalars, flag("fused", self.fused))

    def reset(self) -> None:
        """Forget all steps, as if the optimiser were new; the settings stay as they are."""
        self.state, self.t, self._home, self._latest = {}, 0, None, None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is true of this optimiser alone: a copy belongs to the first model that it is used with."""
        return {name: value for name, value in vars(self).items() if name not in ("_home", "_latest", "_fused")}
