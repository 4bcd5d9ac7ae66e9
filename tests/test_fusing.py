"""One formula, three ways: numbers, NumPy's arrays block by block, and fused into one loop, with the same bits."""

import re
import subprocess
import sys
from math import sqrt

import numpy as np
import pytest
from conftest import small_model
from hypothesis import given
from hypothesis import strategies as st
from test_groups import OPTIMIZERS

import minidl
from minidl.parameters import fusing
from minidl.parameters.blocks import blocks
from minidl.testing.strict_backend import strict_backend

CLASSES = (minidl.SGD, minidl.Momentum, minidl.Nesterov, minidl.Adagrad, minidl.RMSprop, minidl.Adam)
FORMULAS = {kind.__name__: kind.formula for kind in CLASSES} | {"pytorch": minidl.Momentum.pytorch}
MAKERS = OPTIMIZERS | {
    f"{kind.__name__}, {name}": lambda kind=kind, options=options: kind(0.01, **options)
    for kind in CLASSES
    for name, options in {
        "L2": {"weight_decay": 0.1},
        "decoupled": {"weight_decay": 0.1, "decoupled": True},
        "no biases": {"weight_decay": 0.1, "decay_biases": False},
    }.items()
}
needs_numba = pytest.mark.skipif(not fusing.can_fuse(), reason="needs the extra fast")
every_optimizer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
both_types = pytest.mark.parametrize("dtype", ["float32", "float64"])


def walk(optimizer, dtype, fused, n=3_001, groups=None, xp=np, steps=6):
    """Return parameters and state after steps with gradients of all sizes, and a learning rate that changes."""
    rng = np.random.default_rng(0)
    w = xp.asarray(rng.normal(size=n).astype(dtype))
    optimizer.fused = fused
    for step in range(steps):
        g = (rng.normal(size=n) * 10.0 ** rng.integers(-6, 4, size=n)).astype(dtype)
        g[step::7] = 0
        g[step::101] = np.finfo(dtype).smallest_subnormal
        optimizer.lr = 0.1 / (step + 1)
        optimizer.step(w, xp.asarray(g), groups)
    return [minidl.to_numpy(array) for array in (w, *optimizer.state.values())]


@needs_numba
@both_types
@every_optimizer
def test_fused_steps_have_the_same_bits(make, dtype, monkeypatch):
    monkeypatch.setattr("minidl.parameters.blocks.BLOCK", 1000)  # four blocks, and a short one
    groups = [minidl.Group(slice(3, 2000)), minidl.Group(slice(2000, 2007), 0.5, biases=True)]
    for chosen in (None, groups):
        plain, fused = (walk(make(), dtype, fused, groups=chosen) for fused in (False, True))
        for one, other in zip(plain, fused, strict=True):
            assert one.dtype == dtype
            np.testing.assert_array_equal(one.view("uint8"), other.view("uint8"))


@needs_numba
@both_types
@every_optimizer
def test_what_is_no_number_comes_out_alike(make, dtype):
    huge = float(np.finfo(dtype).max)
    g = np.array([0, -0.0, 1, huge, -huge, np.inf, -np.inf, np.nan, 1e-40, -1e-30], dtype)
    with np.errstate(all="ignore"):
        for _ in range(2):
            results = []
            for fused in (False, True):
                optimizer, w = make(), np.linspace(-1, 1, len(g)).astype(dtype)
                optimizer.fused = fused
                for sign in (1, -1, 1):
                    optimizer.step(w, sign * g)
                results.append(w)
            np.testing.assert_array_equal(*results)
            np.testing.assert_array_equal(np.signbit(results[0]), np.signbit(results[1]))


@needs_numba
def test_the_loop_is_really_fused(monkeypatch):
    formula = minidl.Adam.formula
    loop = fusing.on_cpu(formula, 2)
    walk(minidl.Adam(), "float32", fused=True)
    assert loop.nopython_signatures
    assert loop is fusing.on_cpu(formula, 2)  # compiled once
    monkeypatch.setattr(fusing, "LOOPS", ())  # now it would be noticed if NumPy did the work
    walk(minidl.Adam(), "float32", fused=False)
    monkeypatch.setattr(fusing, "on_cpu", fusing.on_cpu.__wrapped__)
    with pytest.raises(IndexError):
        walk(minidl.Adam(), "float32", fused=True)


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_the_worked_example_of_a_formula(formula):
    (call, value) = re.search(
        r"``(\w+\.\w+\(.*?\))(?: ==|`` is\s+``)\s*(\(.*?\))``", formula.__doc__, re.DOTALL
    ).groups()
    result = eval(call, vars(minidl))
    assert result == pytest.approx(eval(value), rel=1e-15)
    assert all(type(number) is float for number in result)


@given(data=st.data())
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_a_formula_of_numbers_is_the_formula_of_arrays(formula, data):
    count = formula.__code__.co_argcount
    states = len([name for name in formula.__code__.co_varnames[:count] if name in "svm"])
    numbers = st.floats(0.01, 2)
    scalars = data.draw(st.lists(numbers, min_size=count - 2 - states, max_size=count - 2 - states))
    columns = data.draw(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=2 + states, max_size=2 + states))
    arrays = [np.array(column) for column in columns]
    expected = [formula(*entries, *scalars) for entries in zip(*columns, strict=True)]
    result = formula(*arrays, *scalars)
    np.testing.assert_array_equal(np.transpose(result), expected)
    assert result[0] is arrays[0]  # in place
    assert all(one is other for one, other in zip(result[1:], arrays[2:], strict=True))


def test_adam_by_hand():
    optimizer, w = minidl.Adam(0.1, beta1=0.5, beta2=0.75, eps=0.0 + 1e-300), np.array([1.0])
    optimizer.step(w, np.array([2.0]))
    optimizer.step(w, np.array([-1.0]))
    m, v, expected = 0.0, 0.0, 1.0
    for t, g in ((1, 2.0), (2, -1.0)):
        m, v = 0.5 * m + 0.5 * g, 0.75 * v + 0.25 * g * g
        expected -= 0.1 * (m / (1 - 0.5**t)) / sqrt(v / (1 - 0.75**t))
    assert w[0] == pytest.approx(expected, rel=1e-14)


def test_a_square_root_of_a_number_and_of_an_array():
    assert minidl.backend.sqrt(2.0) == sqrt(2.0)
    np.testing.assert_array_equal(minidl.backend.sqrt(np.float32([4, 9])), np.float32([2, 3]))


# When it is worth its cost.


def rows_of(model, monkeypatch, worth, **options):
    monkeypatch.setattr(fusing, "WORTH", worth)
    seen = []

    class Look(minidl.Callback):
        def after_update(self, state, loss):
            seen.append(state.optimizer.fused)

    rng = np.random.default_rng(0)
    data = minidl.Dataset(rng.normal(size=(60, 5)).astype("float32"), rng.integers(0, 2, 60))
    optimizer = minidl.Adam()
    optimizer.fused = options.pop("fused", False)
    history = minidl.fit(model, optimizer, data, data, epochs=2, batch_size=7, seed=0, callbacks=(Look(),), **options)
    return seen, optimizer.fused, history


@needs_numba
def test_fit_fuses_a_long_run_and_leaves_the_optimizer_as_it_was(monkeypatch):
    models = [small_model(), small_model(), small_model()]
    short, after_short, plain = rows_of(models[0], monkeypatch, 1e9)
    long, after_long, fused = rows_of(models[1], monkeypatch, 1e3)
    asked, after_asked, _ = rows_of(models[2], monkeypatch, 1e9, fused=True)
    assert (set(short), set(long), set(asked)) == ({False}, {True}, {True})
    assert (after_short, after_long, after_asked) == (False, False, True)
    assert plain.test_loss == fused.test_loss
    np.testing.assert_array_equal(models[0].params, models[1].params)


@pytest.mark.parametrize(
    ("n", "states", "updates", "worth"),
    [
        (1_863_690, 0, 10, False),  # the network of chapter 37: ten steps
        (1_863_690, 0, 938, False),  # an epoch at batch size 64, of SGD
        (1_863_690, 0, 938 * 30, True),
        (1_863_690, 2, 938, True),  # of Adam, which gains more
        (1_863_690, 2, 59, False),  # an epoch at batch size 1024
        (7_850, 2, 938 * 30, False),  # a tiny model
    ],
)
def test_what_is_worth_it(monkeypatch, n, states, updates, worth):
    monkeypatch.setattr(fusing, "can_fuse", lambda: True)
    assert fusing.worth_fusing(n, states, updates) is worth


def test_without_the_extra_everything_goes_on_plainly(monkeypatch):
    expected = walk(minidl.Adam(), "float32", fused=False)
    monkeypatch.setattr(fusing, "can_fuse", lambda: False)
    assert not fusing.worth_fusing(10**9, 2, 10**9)
    for one, other in zip(expected, walk(minidl.Adam(), "float32", fused=True), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_short_run_does_not_import_numba():
    code = "import sys, minidl, numpy as np\n"
    code += "model = minidl.Sequential(minidl.Dense(5, 8), minidl.LogSoftmax(), seed=0)\n"
    code += "data = np.eye(5, dtype='float32'), np.arange(5)\n"
    code += "minidl.fit(model, minidl.Adam(), data, epochs=3, batch_size=2, progress=False)\n"
    code += "assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_whether_a_run_is_fused_is_no_part_of_its_plan(tmp_path):
    rng = np.random.default_rng(0)
    data = minidl.Dataset(rng.normal(size=(60, 5)).astype("float32"), rng.integers(0, 2, 60))
    options = {"batch_size": 10, "seed": 0, "checkpoint": tmp_path / "run.npz", "resume": True}
    for epochs, fused in ((1, True), (2, False)):
        optimizer = minidl.Adam()
        optimizer.fused = fused
        minidl.fit(small_model(), optimizer, data, data, epochs=epochs, **options)


# Arrays and formulas that are not the usual ones.


@needs_numba
@pytest.mark.parametrize("kind", ["strided", "read-only g", "reversed"])
def test_arrays_of_other_layouts(kind):
    results = []
    for fused in (False, True):
        w, g = np.linspace(-1, 1, 100), np.linspace(1, 2, 100)
        if kind == "strided":
            w, g = w[::2], g[::2]
        elif kind == "reversed":
            w, g = w[::-1], g[::-1]
        else:
            g.flags.writeable = False
        optimizer = minidl.Momentum()
        optimizer.fused = fused
        optimizer.step(w, g)
        results.append(w)
    np.testing.assert_array_equal(*results)


@needs_numba
def test_a_formula_of_your_own_can_be_fused_or_not():
    shrink = 0.5

    def formula(w, g, lr):  # outside `update`, which would make a new one, to be compiled anew, in every step
        w -= shrink * lr * g
        return (w,)

    class Closure(minidl.SGD):
        def update(self, w, g, lr):
            self.apply(formula, (w, g), (lr,))

    class Plain(minidl.SGD):
        def update(self, w, g, lr):
            w -= 0.5 * lr * g

    for dtype in ("float32", "float64"):
        one, other = (walk(kind(), dtype, fused=True, n=100)[0] for kind in (Closure, Plain))
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_the_name_of_kept_code_changes_with_the_formula():
    def halved(w, g, lr):
        w -= 0.5 * g
        return (w,)

    def doubled(w, g, lr):
        w -= 2.0 * g
        return (w,)

    if not fusing.can_fuse():
        pytest.skip("needs the extra fast")
    names = {fusing.on_cpu(formula, 0).py_func.__name__ for formula in (halved, doubled, minidl.SGD.formula)}
    assert len(names) == 3


@needs_numba
def test_code_is_kept_on_disk_for_the_next_program(tmp_path):
    code = "import numpy as np, minidl\nfrom minidl.parameters.fusing import on_cpu\n"
    code += "w, optimizer = np.ones(5, 'float32'), minidl.RMSprop()\noptimizer.fused = True\n"
    code += "optimizer.step(w, w.copy())\nprint(sum(on_cpu(minidl.RMSprop.formula, 1).stats.cache_hits.values()))"
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "PATH": ""}
    found = [
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert [int(text) for text in found] == [0, 1]


@needs_numba
def test_code_that_cannot_be_kept_is_compiled_all_the_same(monkeypatch):
    import numba

    def no_folder(function=None, *, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(function, **options)

    njit = numba.njit
    monkeypatch.setattr(numba, "njit", no_folder)
    w = np.ones(3)
    fusing.on_cpu.__wrapped__(minidl.SGD.formula, 0)(w, np.ones(3), (0.5,))
    np.testing.assert_array_equal(w, 0.5)


def on_the_stand_in(optimizer, dtype, **options):
    """Do `walk` on the stand-in for CuPy, fused; return its result and the kernels that were made."""
    kernels = []
    with strict_backend() as cupy:
        make_kernel = cupy.ElementwiseKernel
        cupy.ElementwiseKernel = lambda *args, **options: (kernels.append((args, options)), make_kernel(*args))[1]
        return walk(optimizer, dtype, fused=True, xp=cupy, **options), kernels


@both_types
@every_optimizer
def test_the_kernel_of_a_gpu_is_made_from_the_same_formula(make, dtype):
    for groups in (None, [minidl.Group(slice(3, 2000)), minidl.Group(slice(2000, 2007), 0.5, biases=True)]):
        result, kernels = on_the_stand_in(make(), dtype, groups=groups)
        ((_, options),) = kernels
        assert options == {"options": ("--fmad=false",)}
        for one, other in zip(walk(make(), dtype, fused=False, groups=groups), result, strict=True):
            assert one.dtype == dtype
            np.testing.assert_array_equal(one.view("uint8"), other.view("uint8"))


def test_the_kernel_of_sgd():
    _, (((read, changed, code, _), _),) = on_the_stand_in(minidl.SGD(), "float32", n=10)
    assert (read, changed, code) == ("T g, T c0", "T w", "T new_w = (w - (c0 * g)); w = new_w;")


def test_a_formula_with_numbers_on_either_side():
    def formula(w, g, s, lr):
        s = 1 - 0.5 * s + 2.0 / (1 + s)
        w -= s * g * lr - 1
        return w, 3.0 * s

    class Own(minidl.SGD):
        state_names = ("s",)

        def update(self, w, g, lr, s):
            if fusing.on_host(w):
                w[...], s[...] = formula(1 * w, g, s, w.dtype.type(lr))
            else:
                self.apply(formula, (w, g, s), (lr,))

    for dtype in ("float32", "float64"):
        result, kernels = on_the_stand_in(Own(), dtype)
        assert len(kernels) == 1
        for one, other in zip(walk(Own(), dtype, fused=False), result, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "sign",
    [
        lambda g: minidl.backend.array_module(g).sign(g),
        lambda g: g / abs(g),
        lambda g: (g > 0) * 1.0 - (g < 0) * 1.0,
        lambda g: (g == 0) * 1.0 - (g != 1) * 1.0,
        lambda g: g * float("inf"),
        lambda g: g.clip(-1, 1),
        lambda g: minidl.backend.array_module(g).where(g, 1.0, 0.0),
    ],
)
def test_a_formula_that_is_no_arithmetic_is_carried_out_plainly_on_a_gpu(sign):
    def formula(w, g, lr):
        w -= lr * sign(g)
        return (w,)

    class Own(minidl.SGD):
        def update(self, w, g, lr):
            self.apply(formula, (w, g), (lr,))

    with np.errstate(all="ignore"):
        result, kernels = on_the_stand_in(Own(), "float32", n=100)
        assert not kernels
        np.testing.assert_array_equal(result[0], walk(Own(), "float32", fused=False, n=100)[0])


def test_fit_fuses_on_a_gpu(monkeypatch):
    with strict_backend():
        seen, after, _ = rows_of(small_model().to("cupy"), monkeypatch, 1e20)
    assert set(seen) == {True}
    assert not after


@pytest.mark.parametrize(("number", "code"), [(2, "T(2.0)"), (True, "T(1.0)"), (np.float64(1e-8), "T(1e-08)")])
def test_a_number_in_c(number, code):
    assert fusing.in_c(number) == code


def test_groups_that_are_treated_alike_are_walked_as_one():
    groups = [minidl.Group(slice(0, 5)), minidl.Group(slice(5, 7), biases=True), minidl.Group(slice(8, 9))]
    groups += [minidl.Group(slice(9, 11), 0.5), minidl.Group(slice(11, 12), 0.5, biases=True)]
    w = np.zeros(12)

    def walked(*options):
        return [(block.start, block.stop, group.lr_scale) for block, group in blocks(w, groups, *options)]

    assert walked(False, True) == [(0, 7, 1.0), (8, 9, 1.0), (9, 12, 0.5)]
    assert walked() == [(0, 5, 1.0), (5, 7, 1.0), (8, 9, 1.0), (9, 11, 0.5), (11, 12, 0.5)]


@pytest.mark.parametrize(("fused", "numba", "sizes"), [(0, 1, [4, 4, 2]), (1, 0, [4, 4, 2]), (1, 1, [10])])
def test_only_what_is_really_fused_needs_no_blocks(fused, numba, sizes, monkeypatch):
    monkeypatch.setattr("minidl.parameters.blocks.BLOCK", 4)
    monkeypatch.setattr("minidl.parameters.blocks.can_fuse", lambda: numba)
    assert [part.stop - part.start for part, _ in blocks(np.zeros(10), None, fused)] == sizes
