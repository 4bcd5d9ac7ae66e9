"""One formula, three ways: numbers, NumPy's arrays block by block, and fused into one loop, with the same bits."""

import re
import subprocess
import sys
from functools import partial
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


def on_cpu(formula, states, scalars, dtype="float32"):
    return fusing.on_cpu(fusing.write_down(formula, states, scalars), scalars, np.dtype(dtype))


@needs_numba
def test_the_loop_is_really_fused(monkeypatch):
    loop = on_cpu(minidl.Adam.formula, 2, 6)
    walk(minidl.Adam(), "float32", fused=True)
    assert loop.nopython_signatures
    assert loop is on_cpu(minidl.Adam.formula, 2, 6)  # compiled once

    def noticed(*_):
        raise AssertionError("carried out in one loop")

    monkeypatch.setattr(fusing, "on_cpu", lambda *_: noticed)
    walk(minidl.Adam(), "float32", fused=False)
    with pytest.raises(AssertionError, match="in one loop"):
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


FACTOR = 0.3


def literal(w, g, lr):
    w -= 0.1 * g * lr * 2 + FACTOR * g / 3 - (1 - g) * (2 / (3 + g * g))
    return (w,)


def root(w, g, lr):
    w -= lr * g / (np.sqrt(g * g) + 1e-3)
    return (w,)


def of_scalars(w, g, lr):
    w -= (1 - 0.3 * lr) * g  # Python computes the factor in float64
    return (w,)


def root_of_a_scalar(w, g, lr):
    w -= np.sqrt(lr) * g
    return (w,)


def of_numpy(w, g, lr):
    w -= lr * np.float64(0.3) * g
    return (w,)


def power(w, g, lr):
    w -= lr * g**3
    return (w,)


def another_function(w, g, lr):
    w -= lr * np.tanh(g)
    return (w,)


def sign(w, g, lr):
    w -= lr * minidl.backend.array_module(g).sign(g)
    return (w,)


def clipped(w, g, lr):
    w -= lr * np.clip(g, -1, 1)
    return (w,)


def compared(w, g, lr):
    w -= lr * ((g > 0) * 1.0 - (g < 0) * 1.0)
    return (w,)


def equal(w, g, lr):
    w -= lr * ((g == 0) * 1.0 - (g != 1) * 1.0)
    return (w,)


def divided(w, g, lr):
    w -= lr * g / abs(g)
    return (w,)


def infinite(w, g, lr):
    w -= lr * g * float("inf")
    return (w,)


def chosen(w, g, lr):
    w -= lr * minidl.backend.array_module(g).where(g, 1.0, 0.0)
    return (w,)


def written_into(w, g, lr):
    w[...] = w - lr * g
    return (w,)


def without_return(w, g, lr):
    w -= lr * g


def new_number(w, g, lr):
    return (w - lr * g,)


def gradient_changed(w, g, lr):
    g *= 1
    w -= lr * g
    return (w,)


def bare_return(w, g, lr):
    w -= lr * g
    return w


def default(w, g, lr, factor=0.5):
    w -= lr * factor * g
    return (w,)


@np.errstate(all="ignore")
def decorated(w, g, lr):
    w -= lr * g
    return (w,)


ARITHMETIC = [literal, root]
MORE = [of_scalars, root_of_a_scalar, of_numpy, power, another_function, sign, clipped, compared, equal, divided]
MORE += [infinite, chosen, written_into, without_return, bare_return, new_number, gradient_changed, default]
MORE += [partial(default, factor=2.0)]


def own(formula):
    """Return an optimiser with a formula of one's own."""

    class Own(minidl.SGD):
        def update(self, w, g, lr):
            self.apply(formula, (w, g), (lr,))

    return Own()


@needs_numba
@both_types
@pytest.mark.parametrize("formula", [*ARITHMETIC, *MORE, decorated])
def test_a_formula_of_your_own_gives_the_same_bits_and_is_fused_if_it_is_arithmetic(formula, dtype):
    with np.errstate(all="ignore"):
        optimizer = own(formula)
        plain, fused = walk(own(formula), dtype, fused=False), walk(optimizer, dtype, fused=True)
    np.testing.assert_array_equal(plain[0], fused[0])
    assert optimizer._fused is (formula in ARITHMETIC)


@needs_numba
def test_a_formula_made_in_each_step_may_have_other_numbers_each_time():
    class Own(minidl.SGD):
        def update(self, w, g, lr):
            factor = 1 / self.t

            def formula(w, g, lr):
                w -= factor * lr * g
                return (w,)

            self.apply(formula, (w, g), (lr,))

    np.testing.assert_array_equal(*(walk(Own(), "float32", fused) for fused in (False, True)))


@needs_numba
def test_a_scalar_of_numpy_is_a_number():
    class Own(minidl.SGD):
        def update(self, w, g, lr):
            self.apply(self.formula, (w, g), (lr / np.sqrt(self.t),))

    np.testing.assert_array_equal(*(walk(Own(), "float32", fused) for fused in (False, True)))


@needs_numba
@pytest.mark.parametrize("dtype", [">f4", "longdouble", "float16"])
def test_other_types_are_not_fused(dtype):
    results = []
    for fused in (False, True):
        optimizer, w = minidl.Momentum(), np.linspace(-1, 1, 100).astype(dtype)
        optimizer.fused = fused
        optimizer.step(w, w.copy())
        results.append(w)
    np.testing.assert_array_equal(*results)


@needs_numba
def test_an_optimizer_with_three_state_vectors_is_carried_out_plainly():
    def formula(w, g, a, b, c, lr):
        a += g
        b += a
        c += b
        w -= lr * c
        return w, a, b, c

    class Three(minidl.SGD):
        state_names = ("a", "b", "c")

        def update(self, w, g, lr, a, b, c):
            self.apply(formula, (w, g, a, b, c), (lr,))

    for one, other in zip(*(walk(Three(), "float32", fused) for fused in (False, True)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_to_move():
    for fused in (False, True):
        optimizer = minidl.Adam()
        optimizer.fused = fused
        optimizer.step(np.zeros(0), np.zeros(0))


def test_fused_is_true_or_false():
    optimizer = minidl.SGD()
    optimizer.fused = "off"
    with pytest.raises(TypeError, match="fused: expected True or False, got 'off'"):
        optimizer.step(np.ones(3), np.ones(3))


@needs_numba
def test_the_name_of_kept_code_changes_with_the_formula():
    names = {on_cpu(formula, 0, 1).py_func.__name__ for formula in (literal, root, minidl.SGD.formula)}
    names.add(on_cpu(root, 0, 1, "float64").py_func.__name__)
    assert len(names) == 4


STEPS = """
import sys, warnings, numpy as np, minidl
from minidl.parameters import fusing
w, optimizer = np.ones(5, "float32"), minidl.RMSprop()
optimizer.fused = True
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    optimizer.step(w, w.copy())
loop = fusing.on_cpu(fusing.write_down(minidl.RMSprop.formula, 1, 4), 4, w.dtype)
said = [str(one.message)[:30] for one in said if one.category is RuntimeWarning]
print(loop and sum(loop.stats.cache_hits.values()), *said)
"""


def said_by_steps(folder, **variables):
    environment = {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": ":".join(sys.path), "PATH": ""} | variables
    line = [sys.executable, "-c", STEPS]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@needs_numba
def test_code_is_kept_on_disk_for_the_next_program_and_may_be_damaged(tmp_path):
    assert [said_by_steps(tmp_path) for _ in range(2)] == ["0", "1"]
    for file in tmp_path.rglob("*.nb?"):
        file.write_bytes(file.read_bytes()[:100])
    assert said_by_steps(tmp_path) == "0"  # compiled anew


@needs_numba
@pytest.mark.parametrize("code", ["raise ImportError('needs another NumPy')", "raise SystemError('broken')", ""])
def test_a_numba_that_does_not_work_is_named_and_training_goes_on(tmp_path, code):
    (tmp_path / "numba.py").write_text(code)
    path = ":".join([str(tmp_path), *sys.path])
    assert said_by_steps(tmp_path, PYTHONPATH=path) == "None Numba is installed but fails ("


@needs_numba
def test_numba_can_be_switched_off(tmp_path):
    assert said_by_steps(tmp_path, NUMBA_DISABLE_JIT="1") == "None"


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
    loop = fusing.on_cpu.__wrapped__(fusing.write_down(minidl.SGD.formula, 0, 1), 1, w.dtype)
    loop(w, np.ones(3), (0.5,))
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
        s *= 0.1 * (1 - 0.5 * s + 2.0 / (3 + g * g))
        s += 1
        w -= s * g * lr - 1
        w /= 2
        return w, s

    class Own(minidl.SGD):
        state_names = ("s",)

        def update(self, w, g, lr, s):
            self.apply(formula, (w, g, s), (lr,))

    for dtype in ("float32", "float64"):
        result, kernels = on_the_stand_in(Own(), dtype)
        assert len(kernels) == 1
        for one, other in zip(walk(Own(), dtype, fused=False), result, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("formula", [sign, divided, compared, equal, infinite, chosen, of_scalars])
def test_a_formula_that_is_no_arithmetic_is_carried_out_plainly_on_a_gpu(formula):
    with np.errstate(all="ignore"):
        result, kernels = on_the_stand_in(own(formula), "float32", n=100)
        assert not kernels
        np.testing.assert_array_equal(result[0], walk(own(formula), "float32", fused=False, n=100)[0])


def test_fit_fuses_on_a_gpu(monkeypatch):
    with strict_backend():
        seen, after, _ = rows_of(small_model().to("cupy"), monkeypatch, 1e20)
    assert set(seen) == {True}
    assert not after


@pytest.mark.parametrize(("number", "code"), [(2, "T(2.0)"), (True, "T(1.0)"), (1e-8, "T(1e-08)")])
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


@pytest.mark.parametrize(
    ("formula", "fused", "sizes"),
    [(literal, False, [4, 4, 2] * 2), (literal, True, [4, 4, 2, 10]), (sign, True, [4, 4, 2] * 2)],
)
def test_only_what_is_really_fused_needs_no_blocks(formula, fused, sizes, monkeypatch):
    if fused and formula is literal and not fusing.can_fuse():
        pytest.skip("needs the extra fast")
    monkeypatch.setattr("minidl.parameters.blocks.BLOCK", 4)
    seen = []

    class Own(minidl.SGD):
        def update(self, w, g, lr):
            seen.append(len(w))
            self.apply(formula, (w, g), (lr,))

    optimizer = Own()
    optimizer.fused = fused
    for _ in range(2):
        optimizer.step(np.zeros(10), np.ones(10))
    assert seen == sizes
