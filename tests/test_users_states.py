"""What users do to models, optimisers and schedules: assign, reuse, change on the way, copy, and choose odd numbers."""

import copy
import gc
import pickle
from copy import deepcopy
from dataclasses import dataclass, replace
from math import inf, nan

import numpy as np
import pytest
from conftest import small_model
from test_groups import OPTIMIZERS
from test_testing import Tanh

import minidl
from minidl.testing import check_layer
from minidl.testing.strict_backend import strict_backend

RNG = np.random.default_rng(7)
LABELS = RNG.integers(0, 2, 60)
DATA = minidl.Dataset((RNG.normal(size=(60, 5)) + LABELS[:, None]).astype("float32"), LABELS)
WITH_STATE = {name: make for name, make in OPTIMIZERS.items() if make().state_names}
with_state = pytest.mark.parametrize("make", WITH_STATE.values(), ids=WITH_STATE)
everywhere = pytest.mark.parametrize("suffix", ["npz", "safetensors"])


def fit(model, optimizer, **options):
    return minidl.fit(model, optimizer, DATA, DATA, **{"epochs": 1, "batch_size": 10, "seed": 0} | options)


def normalized_model():
    return minidl.Sequential(minidl.Dense(5, 8), minidl.BatchNorm(8), minidl.ReLU(), minidl.Dense(8, 2), seed=0)


# Parameters are not detached by accident.


@pytest.mark.parametrize(
    "value", [np.arange(66.0), np.arange(66, dtype="float32"), np.arange(66), list(range(66)), tuple(range(66))]
)
@pytest.mark.parametrize("name", ["params", "grads"])
def test_what_is_assigned_to_a_vector_is_in_the_layers(name, value):
    model = small_model()
    vector, windows = getattr(model, name), ("W", "b") if name == "params" else ("dW", "db")
    setattr(model, name, value)
    assert getattr(model, name) is vector
    assert vector.dtype == "float32"
    for layer in (model.layers[0], model.layers[2]):
        for window in windows:
            assert np.shares_memory(getattr(layer, window), vector)
    np.testing.assert_array_equal(getattr(model.layers[2], windows[1]), [64, 65])


def test_training_goes_on_from_what_was_assigned():
    one, other = small_model(0), small_model(1)
    one.params = other.params
    assert not np.shares_memory(one.params, other.params)
    for model in (one, other):
        fit(model, minidl.Adam())
    np.testing.assert_array_equal(one.params, other.params)


def test_assignments_with_an_operator():
    model, expected = small_model(), 2 * small_model().params
    vector = model.params
    model.params *= 2
    assert model.params is vector
    np.testing.assert_array_equal(vector, expected)
    window = model.layers[0].W
    model.layers[0].W -= window.copy()
    assert model.layers[0].W is window
    assert not vector[:40].any()


@pytest.mark.parametrize("make", [lambda m: m, deepcopy, lambda m: pickle.loads(pickle.dumps(m)), lambda m: m[:]])
@pytest.mark.parametrize("which", [("dense0", "W", 0), ("dense0", "b", 40), ("batchnorm1", "gamma", 48)])
def test_what_is_assigned_to_a_layer_is_in_the_vector(make, which):
    model = make(normalized_model())
    layer, name, start = model.layer(which[0]), which[1], which[2]
    for window, vector in ((name, model.params), (f"d{name}", model.grads)):
        value = np.full(getattr(layer, window).shape, 7)
        setattr(layer, window, value)
        np.testing.assert_array_equal(vector[start : start + value.size], value.ravel())
        assert np.shares_memory(getattr(layer, window), vector)


def test_a_part_of_a_model_too():
    model = small_model()
    model[2:].params = np.zeros(18)
    assert not model.layers[2].W.any()
    assert model.layers[0].W.any()


def test_on_another_backend():
    model = small_model()
    with strict_backend():
        model.to("cupy")
        model.params = np.ones(66)  # moved, as a model is
        model.layers[0].W = np.zeros((5, 8))
        assert not minidl.to_numpy(model.params)[:40].any()
        assert minidl.to_numpy(model.params)[40:].all()


@pytest.mark.parametrize(
    "value",
    [np.zeros(65), np.zeros((66, 1)), 0.0, None, "zeros", np.zeros(66, complex), np.zeros(66, object), ["a"] * 66],
)
@pytest.mark.parametrize("name", ["params", "grads"])
def test_what_does_not_fit_a_vector_is_refused(name, value):
    model = small_model()
    before = getattr(model, name).copy()
    with pytest.raises(ValueError, match=rf"^{name}: expected numbers of shape \(66,\), got"):
        setattr(model, name, value)
    np.testing.assert_array_equal(getattr(model, name), before)


@pytest.mark.parametrize("value", [np.zeros((8, 5)), np.zeros(8), 0, np.zeros((5, 8), complex)])
@pytest.mark.parametrize("name", ["W", "dW"])
def test_what_does_not_fit_a_layer_is_refused(name, value):
    model = small_model()
    with pytest.raises(ValueError, match=rf"^dense0.{name}: expected numbers of shape \(5, 8\), got"):
        setattr(model.layers[0], name, value)
    assert model.layers[0].W.any()


def test_the_layers_of_a_model_stay():
    model = small_model()
    for layers in ((), small_model(1).layers, [minidl.Dense(5, 2)]):
        with pytest.raises(AttributeError, match=r"^layers: a model keeps its layers.*make a new model"):
            model.layers = layers


def test_a_parameter_of_a_layer_without_a_model_would_be_lost():
    layer = minidl.Dense(5, 8)
    layer.W = np.zeros((5, 8))
    with pytest.raises(ValueError, match=r"^Dense\(5, 8\): W was set before the layer belongs to a model"):
        minidl.Sequential(layer)


class Assigning(minidl.Dense):
    """As one writes it without having heard of windows."""

    def init_params(self, rng):
        self.W = rng.normal(size=(self.in_features, self.out_features))
        self.b = np.zeros(self.out_features)

    def backward_params(self, dy):
        x = self.recall(dy)
        self.dW = x.T @ dy
        self.db = dy.sum(axis=0)


def test_a_layer_of_ones_own_may_assign():
    check_layer(lambda: Assigning(3, 2))


class Leaky(minidl.Layer):
    arguments = ("slope",)

    def __init__(self, slope):
        self.slope = slope

    def forward(self, x, training=False):
        return np.maximum(x, self.slope * x)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_a_scalar_of_numpy_in_a_layer_does_not_change_the_precision(tmp_path, kind):
    model = minidl.Sequential(minidl.Dense(5, 8), minidl.BatchNorm(8), Leaky(kind(0.5)), minidl.Dense(8, 2), seed=0)
    model.layers[1].eps, model.layers[0].lr_scale, model.layers[0].frozen = kind(0.5), kind(0.5), np.bool_(False)
    assert model.forward(DATA.x, training=True).dtype == "float32"
    minidl.save(model, tmp_path / "model.npz")
    assert minidl.load(tmp_path / "model.npz", deepcopy(model)).layers[2].slope == 0.5


# An optimiser serves one model.


@with_state
def test_an_optimizer_does_not_carry_its_state_to_the_next_fold(make):
    optimizer, first, second = make(), small_model(0), small_model(1)
    fit(first, optimizer)
    state, t, before = deepcopy(optimizer.state), optimizer.t, second.params.copy()
    message = f"^params: {type(optimizer).__name__} has made steps on another model.*new optimiser.*reset"
    for use in (
        lambda: fit(second, optimizer),
        lambda: optimizer.step(second.params, second.grads, second.groups),
        lambda: optimizer.prepare(second.params, second.grads),
        lambda: minidl.lr_range_test(second, optimizer, DATA),
        lambda: fit(second[:], optimizer),
        lambda: fit(deepcopy(first), optimizer),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    assert optimizer.t == t
    for name, vector in state.items():
        np.testing.assert_array_equal(optimizer.state[name], vector)
    np.testing.assert_array_equal(second.params, before)


def test_also_if_the_first_model_is_gone_and_its_memory_used_again():
    optimizer = minidl.Adam()
    fit(small_model(), optimizer)
    gc.collect()
    for seed in range(20):
        with pytest.raises(ValueError, match=r"another model"):
            fit(small_model(seed), optimizer)


@with_state
def test_reset_makes_an_optimizer_new(make):
    used, new, first, second = make(), make(), small_model(1), small_model(1)
    fit(small_model(0), used)
    used.reset()
    assert (used.t, used.state) == (0, {})
    fit(first, used)
    fit(second, new)
    np.testing.assert_array_equal(first.params, second.params)


def test_reset_leaves_the_settings():
    optimizer = minidl.Adam(0.1, eps=0.01)
    optimizer.lr = 0.05
    optimizer.reset()
    assert (optimizer.lr, optimizer.eps) == (0.05, 0.01)


def test_an_optimizer_without_memory_serves_any_number_of_models():
    optimizer = minidl.SGD()
    for seed in range(3):
        expected = small_model(seed)
        fit(expected, minidl.SGD())
        model = small_model(seed)
        fit(model, optimizer)
        np.testing.assert_array_equal(model.params, expected.params)


@with_state
def test_one_model_trained_in_several_ways_is_one_model(tmp_path, make):
    model, optimizer = small_model(), make()
    fit(model, optimizer)
    minidl.save(model, tmp_path / "model.npz")
    minidl.load(tmp_path / "model.npz", model)
    model.copy_from(small_model(1))
    model.params = model.params + 1
    model.to("numpy")
    fit(model, optimizer)
    fit(model[:], optimizer)
    optimizer.step(model.params[:], model.grads[:])
    assert optimizer.t == 19


@with_state
def test_parts_of_a_model_are_known_by_their_place(make):
    twins = minidl.Sequential(*(minidl.Dense(3, 3) for _ in range(3)), seed=0)
    optimizer = make()
    for _ in range(3):
        optimizer.step(twins[1:2].params, twins[1:2].grads)
    with pytest.raises(ValueError, match=r"another model"):
        optimizer.step(twins[2:].params, twins[2:].grads)
    with pytest.raises(ValueError, match=r"another model"):
        optimizer.step(twins[:1].params, twins[:1].grads)
    assert optimizer.t == 3


@with_state
@pytest.mark.parametrize("duplicate", [deepcopy, copy.copy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_belongs_to_the_first_model_that_it_meets(make, duplicate):
    model, optimizer = small_model(), make()
    fit(model, optimizer)
    model_copy, optimizer_copy = deepcopy(model), deepcopy(duplicate(optimizer))
    for pair in ((model, optimizer), (model_copy, optimizer_copy)):
        fit(*pair)
    np.testing.assert_array_equal(model_copy.params, model.params)
    with pytest.raises(ValueError, match=r"another model"):
        fit(model, optimizer_copy)


def test_replace_makes_a_new_optimizer():
    optimizer = minidl.Adam()
    fit(small_model(), optimizer)
    fit(small_model(1), replace(optimizer, lr=0.1))


@with_state
def test_plain_arrays_are_not_followed(make):
    kept, copied, one, other = np.ones(3), np.ones(3), make(), make()
    for _ in range(5):
        one.step(kept, kept.copy())
        flat = copied.copy()  # gathered anew for every step, and given back
        other.step(flat, copied.copy())
        copied[...] = flat
    np.testing.assert_array_equal(copied, kept)


def test_a_model_that_was_moved_needs_a_new_optimizer():
    model, optimizer = small_model(), minidl.Adam()
    fit(model, optimizer)
    with strict_backend():
        model.to("cupy")
        with pytest.raises(ValueError, match=r"another model"):
            optimizer.step(model.params, model.grads)


def test_a_checkpoint_is_not_read_into_an_optimizer_of_another_model(tmp_path):
    optimizer = minidl.Adam()
    fit(small_model(), minidl.Adam(), checkpoint=tmp_path / "run.npz")
    fit(small_model(), optimizer)
    state = minidl.Training(small_model(1), optimizer, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"run\.npz: params: Adam has made steps on another model"):
        minidl.load_training(tmp_path / "run.npz", state)
    optimizer.reset()
    minidl.load_training(tmp_path / "run.npz", state)
    assert optimizer.t == 6


# Settings are checked whenever they are set.


@pytest.mark.parametrize("make", [minidl.SGD, *WITH_STATE.values()])
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, np.int64])
def test_a_setting_becomes_a_plain_number(tmp_path, make, kind):
    models = [small_model(), small_model()]
    for model, of in zip(models, (kind, float), strict=True):
        optimizer = make()
        optimizer.lr, optimizer.weight_decay = of(kind(1)), of(kind(0.5))
        assert type(optimizer.lr) is type(optimizer.weight_decay) is float
        fit(model, optimizer, checkpoint=tmp_path / f"{of.__name__}.npz")
    np.testing.assert_array_equal(*(model.params for model in models))


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("lr", -0.1, ValueError),
        ("lr", nan, ValueError),
        ("lr", np.float32(inf), ValueError),
        ("lr", "0.1", TypeError),
        ("lr", None, TypeError),
        ("lr", np.ones(1), TypeError),
        ("lr", lambda t: 0.1, TypeError),
        ("weight_decay", -1, ValueError),
        ("beta1", 1, ValueError),
        ("beta2", np.float64(1.5), ValueError),
        ("eps", 0, ValueError),
        ("decoupled", 1, TypeError),
        ("decay_biases", "yes", TypeError),
    ],
)
def test_a_setting_out_of_its_range_is_refused_when_it_is_set(name, value, error):
    optimizer = minidl.Adam()
    before = dict(vars(optimizer))
    with pytest.raises(error, match=f"^{name}: expected"):
        setattr(optimizer, name, value)
    assert vars(optimizer) == before


def test_other_numbers_than_settings():
    optimizer = minidl.Adam()
    optimizer.t, optimizer.decoupled = np.int64(3), np.bool_(True)
    assert type(optimizer.t) is int
    assert optimizer.decoupled is True


def test_a_learning_rate_may_become_0_but_not_begin_there():
    optimizer = minidl.Momentum()
    optimizer.lr = 0
    with pytest.raises(ValueError, match=r"^lr: expected a finite number above 0, got 0$"):
        minidl.Momentum(0)


@dataclass(eq=False)
class Redeclared(minidl.Optimizer):
    """A dataclass as anybody writes it, without checks."""

    lr: float = 0.1
    scale: float = 1.0

    def update(self, w, g, lr):
        w -= lr * self.scale * g


class Plain(minidl.Optimizer):
    """No dataclass at all."""

    def __init__(self, lr=0.1, scale=1.0):
        super().__init__(lr)
        self.scale = scale

    def update(self, w, g, lr):
        w -= lr * self.scale * g


class Bare(Plain):
    """Does not call the constructor of `minidl.Optimizer`, and has a state."""

    state_names = ("v",)

    def __init__(self, lr=0.1, scale=1.0):
        self.lr, self.scale = lr, scale

    def update(self, w, g, lr, v):
        v += self.scale * g
        w -= lr * v


class Fixed(minidl.SGD):
    """Its setting is an attribute of the class."""

    scale = 1.0

    def __init__(self, scale=1.0):
        super().__init__()
        if scale is not Fixed.scale:
            self.scale = scale


OWN = pytest.mark.parametrize("kind", [Redeclared, Plain, Bare, Fixed])


@OWN
def test_settings_of_ones_own_class_are_plain_too(kind):
    optimizer = kind(scale=np.float64(0.5))
    optimizer.lr = np.float32(0.5)
    assert (type(optimizer.scale), type(optimizer.lr)) == (float, float)
    with pytest.raises(ValueError, match=r"^lr: expected"):
        optimizer.lr = -1
    model = small_model()
    fit(model, optimizer)


@OWN
@pytest.mark.parametrize("scale", [0.5, inf, None, "half", (1, 2), {"a": np.float64(1)}, np.ones(2), np.sin, [nan]])
def test_a_run_resumes_with_the_same_settings_of_any_class_only(tmp_path, kind, scale):
    def run(scale, **options):
        optimizer, model = kind(scale=scale), small_model()
        optimizer.update = lambda *args: None  # the scale is to be compared, not used
        return fit(model, optimizer, epochs=2, checkpoint=tmp_path / "run.npz", **options)

    run(scale)
    assert len(run(scale, resume=True)) == 2
    with pytest.raises(ValueError, match=r"run\.npz: scale: the checkpoint was made with .*, got 0.25"):
        run(0.25, resume=True)


def test_a_setting_that_only_one_class_has(tmp_path):
    class Mine(minidl.SGD):
        pass

    class Other(minidl.SGD):
        nesterov = True

    Other.__name__ = "Mine"
    options = {"checkpoint": tmp_path / "run.npz", "resume": True}
    fit(small_model(), Mine(), **options)
    with pytest.raises(ValueError, match=r"nesterov: the checkpoint was made with None, got True"):
        fit(small_model(), Other(), **options)
    (tmp_path / "run.npz").unlink()
    fit(small_model(), Other(), **options)
    with pytest.raises(ValueError, match=r"nesterov: the checkpoint was made with True, got None"):
        fit(small_model(), Mine(), **options)


# A run that moves its learning rate resumes.


class Halve(minidl.Callback):
    def __init__(self, crash_after=None, saved=True):
        self.crash_after, self.saved = crash_after, saved

    def after_epoch(self, state):
        state.optimizer.lr /= 2
        if len(state.history) == self.crash_after and not self.saved:
            raise KeyboardInterrupt

    def after_update(self, state, _loss):
        if len(state.history) == self.crash_after and self.saved:
            raise KeyboardInterrupt


@pytest.mark.parametrize("saved", [True, False], ids=["after it was saved", "before it was saved"])
@pytest.mark.parametrize("make", [lambda old: old, deepcopy, lambda old: minidl.Adam(0.1)], ids=["same", "copy", "new"])
def test_a_learning_rate_that_the_run_has_moved_is_no_other_setting(tmp_path, make, saved):
    def run(model, optimizer, callback, **options):
        fit(model, optimizer, epochs=4, callbacks=(callback,), **options)
        return model.params.tobytes(), optimizer.lr

    expected = run(small_model(), minidl.Adam(0.1), Halve())
    model, optimizer, options = small_model(), minidl.Adam(0.1), {"checkpoint": tmp_path / "run.npz", "resume": True}
    with pytest.raises(KeyboardInterrupt):
        run(model, optimizer, Halve(2, saved), **options)
    assert optimizer.lr == 0.025
    optimizer = make(optimizer)
    assert run(model, optimizer, Halve(), **options) == expected
    assert run(model, optimizer, Halve(), **options) == expected  # finished, and resumed once more


def test_a_learning_rate_that_the_user_has_moved_is_one(tmp_path):
    optimizer, options = minidl.Adam(0.1), {"checkpoint": tmp_path / "run.npz", "resume": True}
    model = small_model()
    fit(model, optimizer, callbacks=(Halve(),), **options)
    assert optimizer.lr == 0.05
    for wrong in (0.2, 0.025):
        optimizer.lr = wrong
        with pytest.raises(ValueError, match=f"lr: the checkpoint was made with 0.1, got {wrong}"):
            fit(model, optimizer, callbacks=(Halve(),), **options)
    optimizer.lr = 0.05
    fit(model, optimizer, callbacks=(Halve(),), **options)


@pytest.mark.parametrize("lr", [0.1, minidl.linear(0.1, 0.01, 2)], ids=["number", "schedule"])
def test_nor_is_one_that_a_schedule_has_moved(tmp_path, lr):
    model, optimizer, options = small_model(), minidl.Adam(0.3), {"checkpoint": tmp_path / "run.npz", "resume": True}
    fit(model, optimizer, epochs=2, lr=lr, **options)
    fit(model, optimizer, epochs=3, lr=lr, **options)
    assert optimizer.lr != 0.3


def test_after_a_schedule_the_learning_rate_is_a_number_again(tmp_path):
    optimizer, model = minidl.SGD(), small_model()
    fit(model, optimizer, lr=minidl.linear(0.1, 0.05, 0.5), checkpoint=tmp_path / "first.npz")
    fit(model, optimizer, checkpoint=tmp_path / "second.npz")
    with pytest.raises(ValueError, match=r"lr: the checkpoint was made with 0.05, got 0.1"):
        fit(model, minidl.SGD(0.1), checkpoint=tmp_path / "second.npz", resume=True)
    fit(model, minidl.SGD(0.05), checkpoint=tmp_path / "second.npz", resume=True)


def test_a_loop_of_ones_own_may_count_and_measure_with_numpy(tmp_path):
    state = minidl.Training(small_model(), minidl.SGD(), np.random.default_rng(0))
    state.updates, state.seconds = np.int64(3), np.float32(0.5)
    row = dict.fromkeys(vars(state.history), np.float32(0.25)) | {"epoch": np.int32(1)}
    state.history.append(**row)
    state.epoch = np.int64(2)
    plan = {"size": np.int64(64), "betas": (0.9, 0.999), "clip": inf}
    minidl.save_training(tmp_path / "own.npz", state, plan)
    resumed = minidl.Training(small_model(), minidl.SGD(), np.random.default_rng(1))
    minidl.load_training(tmp_path / "own.npz", resumed, plan)
    assert (resumed.updates, resumed.history.lr) == (3, [0.25])
    with pytest.raises(ValueError, match=r"betas: the checkpoint was made with"):
        minidl.load_training(tmp_path / "own.npz", resumed, plan | {"betas": (0.9, 0.99)})


def test_what_no_file_can_hold_is_named(tmp_path):
    model = minidl.Sequential(minidl.Dense(2, 2), Leaky(max), seed=0)
    with pytest.raises(TypeError, match=r"a file holds numbers, strings.*built-in function max"):
        minidl.save(model, tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


# Everything public can be pickled and copied.

SCHEDULES = {
    "constant": lambda: minidl.constant(0.1),
    "piecewise": lambda: minidl.piecewise({0: 0.1, 2: minidl.linear(0.1, 0.2, length=3)}),
    "linear": lambda: minidl.linear(0.1, end=0.2, length=3),
    "step_decay": lambda: minidl.step_decay(0.1, 0.5, every=2),
    "exponential_decay": lambda: minidl.exponential_decay(0.1, 0.9),
    "triangular": lambda: minidl.triangular(0.01, 0.1, step_size=2),
    "triangular2": lambda: minidl.triangular2(0.01, 0.1, 2),
    "exp_range": lambda: minidl.exp_range(0.01, 0.1, 2, gamma=0.9),
    "cosine_restarts": lambda: minidl.cosine_restarts(0.1, cycle_mult=2),
    "one_cycle": lambda: minidl.one_cycle(0.1, 5),
}
TWICE = pytest.mark.parametrize(
    "twice", [deepcopy, copy.copy, lambda value: pickle.loads(pickle.dumps(value))], ids=["deepcopy", "copy", "pickle"]
)


@TWICE
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_travels(name, twice):
    schedule = SCHEDULES[name]()
    copied = twice(twice(schedule))
    times = np.linspace(0, 12, 241)
    assert [copied(t) for t in times] == [schedule(t) for t in times]
    assert repr(copied) == repr(schedule)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_shown_as_the_call_that_made_it(name):
    schedule = SCHEDULES[name]()
    again = eval(repr(schedule), vars(minidl))
    assert [again(t) for t in range(9)] == [schedule(t) for t in range(9)]


def test_a_schedule_does_not_follow_what_it_was_made_from():
    stretches = {0: 0.1}
    schedule = minidl.piecewise(stretches)
    stretches[0] = 0.2
    assert pickle.loads(pickle.dumps(schedule))(0) == schedule(0) == 0.1


def trained():
    """Return the state of a run with everything in it, and all that `fit` may be given."""
    model = minidl.Sequential(
        minidl.Dense(16, 8, init=lambda rng, shape: rng.normal(size=shape)),
        minidl.BatchNorm(8),
        minidl.ReLU(),
        minidl.Dropout(0.5),
        minidl.Dense(8, 2, init=minidl.glorot_uniform),
        minidl.LogSoftmax(),
        seed=0,
    )
    data = minidl.Dataset(RNG.normal(size=(60, 16)).astype("float32"), LABELS)
    parts = {"model": model, "data": data, "early_stopping": minidl.EarlyStopping(3), "optimizer": minidl.Adam()}
    parts |= {"augment": minidl.RandomAffine(shape=(4, 4)), "callback": Halve(), "loss": minidl.NLLLoss()}
    history = minidl.fit(
        model, parts["optimizer"], data, data, epochs=2, batch_size=10, seed=0, early_stopping=parts["early_stopping"],
        augment=parts["augment"], callbacks=(parts["callback"],),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    parts |= {"history": history, "range test": minidl.lr_range_test(model, minidl.SGD(), data, batch_size=10)}
    parts |= {"training": minidl.Training(model, parts["optimizer"], rng, parts["early_stopping"], history)}
    parts |= {"groups": model.groups, "part": model[3:], "error": minidl.DivergedError("message", history)}
    return (
        parts
        | {f"layer {i}": layer for i, layer in enumerate(model.layers)}
        | {f"schedule {s}": SCHEDULES[s]() for s in SCHEDULES}
    )


PARTS = trained()


@TWICE
@pytest.mark.parametrize("name", PARTS)
def test_whatever_is_public_travels(name, twice):
    copied = twice(PARTS[name])
    assert type(copied) is type(PARTS[name])
    assert repr(copied) == repr(PARTS[name]) or " at 0x" in repr(copied)


@pytest.mark.parametrize("name", [name for name in minidl.__all__ if callable(getattr(minidl, name))])
def test_functions_and_classes_travel(name):
    value = getattr(minidl, name)
    assert pickle.loads(pickle.dumps(value)) is deepcopy(value) is value


def test_a_model_whose_rule_has_no_name_computes_the_same_elsewhere():
    model = PARTS["model"]
    copied = pickle.loads(pickle.dumps(model))
    x = PARTS["data"].x
    np.testing.assert_array_equal(copied.forward(x), model.forward(x))
    assert copied.layers[4].init is minidl.glorot_uniform
    with pytest.raises(RuntimeError, match=r"^init: this layer is a copy, and its rule.*was left behind"):
        minidl.Sequential(copied.layers[0].__class__(16, 8, init=copied.layers[0].init))


def test_a_rule_that_is_still_needed_is_kept():
    layer = minidl.Dense(3, 2, init=lambda rng, shape: np.full(shape, 7.0))
    assert (minidl.Sequential(deepcopy(layer)).layers[0].W == 7).all()


def test_a_model_can_be_pickled_while_it_is_watched():
    def look(model, history):
        pickle.loads(pickle.dumps(model))

    fit(small_model(), minidl.SGD(), debug=True, after_epoch=look)
    model, seen = small_model(), []
    model.watch = lambda layer, name, array: seen.append(name)
    pickle.loads(pickle.dumps(model)).forward(DATA.x, training=True)
    assert not seen


@pytest.mark.parametrize("twice", [deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_run_goes_on_with_copies_of_everything(twice):
    def more(parts):
        minidl.fit(
            parts["model"], parts["optimizer"], parts["data"], parts["data"], epochs=1, batch_size=10, seed=1,
            augment=parts["augment"], lr=parts["schedule one_cycle"],
        )  # fmt: skip
        return parts["model"].params

    np.testing.assert_array_equal(more(twice(PARTS)), more(twice(PARTS)))


# Numbers at the edge of a precision.


def step(optimizer, dtype, gradient=0.0):
    w = np.ones(2, dtype)
    optimizer.step(w, np.full(2, gradient, dtype))
    return w


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: minidl.Adam(eps=2e-44), "eps"),
        (lambda: minidl.Adam(eps=1e-50), "eps"),
        (lambda: minidl.Adam(beta2=0.9999999, eps=1e-42), "eps"),
        (lambda: minidl.RMSprop(eps=7e-46), "eps"),
        (lambda: minidl.Adagrad(eps=1e-60), "eps"),
        (lambda: minidl.SGD(3.5e38), "lr"),
        (lambda: minidl.Momentum(1e39), "lr"),
        (lambda: minidl.Nesterov(1e300), "lr"),
        (lambda: minidl.Adam(1e38, beta1=0.999, beta2=0.9), "lr"),
        (lambda: minidl.SGD(1e38, weight_decay=10.0), "lr"),
        (lambda: minidl.SGD(weight_decay=1e39), "weight_decay"),
        (lambda: minidl.SGD(weight_decay=1e39, decoupled=True), "weight_decay"),
    ],
)
def test_a_number_that_float32_cannot_hold_is_refused_by_name(make, name):
    optimizer, model = make(), small_model()
    before = model.params.copy()
    with pytest.raises(ValueError, match=f"^{name}: expected (at most|more than) .*float32.*, got"):
        fit(model, optimizer)
    with pytest.raises(ValueError, match=f"^{name}: "):
        step(optimizer, "float32")
    assert (optimizer.t, optimizer.state) == (0, {})
    np.testing.assert_array_equal(model.params, before)
    assert np.isfinite(step(make(), "float64")).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: minidl.Adam(eps=2.3e-44),
        lambda: minidl.RMSprop(eps=1e-45),
        lambda: minidl.Adagrad(eps=8e-46),
        lambda: minidl.SGD(3.4e38),
        lambda: minidl.Adam(3.4e35, beta1=0.999, beta2=0.9),
        lambda: minidl.SGD(weight_decay=3e38),
    ],
)
def test_a_number_that_float32_can_just_hold_is_not_refused(make):
    w = np.zeros(2, "float32")
    make().step(w, np.zeros(2, "float32"))
    assert np.isfinite(w).all()


def test_float64_has_an_edge_too():
    with pytest.raises(ValueError, match=r"^eps: .*float64 has only 0"):
        step(minidl.Adam(eps=5e-324), "float64")
    with pytest.raises(ValueError, match=r"^lr: .*float64 overflows"):
        step(minidl.Adam(1e308), "float64")
    with pytest.raises(ValueError, match=r"^eps: .*float16 has only 0"):
        step(minidl.Adam(), "float16")


def test_a_learning_rate_that_becomes_too_large_is_refused_before_the_step():
    w, optimizer = np.ones(2, "float32"), minidl.SGD()
    optimizer.step(w, w.copy())
    before = w.copy()
    optimizer.lr = 1e39
    with pytest.raises(ValueError, match=r"^lr: expected at most"):
        optimizer.step(w, w.copy())
    np.testing.assert_array_equal(w, before)
    assert optimizer.t == 1
    optimizer.lr = 0.5
    optimizer.step(w, w.copy())
    optimizer.weight_decay = 1e39
    with pytest.raises(ValueError, match=r"^weight_decay: expected at most"):
        optimizer.step(w, w.copy())


def test_a_schedule_is_looked_at_before_the_first_update():
    model = small_model()
    before = model.params.copy()
    for lr in (minidl.piecewise({0: 0.1, 1: 1e39}), 1e39):
        with pytest.raises(ValueError, match=r"^lr after [01] epochs: expected at most 3.4e.38.*float32"):
            fit(model, minidl.SGD(), epochs=2, lr=lr)
    with pytest.raises(ValueError, match=r"^max_lr: expected at most"):
        minidl.lr_range_test(model, minidl.SGD(), DATA, max_lr=1e39)
    np.testing.assert_array_equal(model.params, before)


def reference(x, eps=1e-5):
    x = x.astype("float64")
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps), x.mean(axis=0), x.var(axis=0)


@pytest.mark.parametrize(
    ("centre", "width", "n"),
    [(1e5, 10, 60_000), (-1e5, 10, 60_000), (1e7, 10, 60_000), (3e4, 1, 60_000), (1e5, 0.1, 1000), (1e5, 10, 64)],
)
def test_batch_norm_is_right_far_from_zero(centre, width, n):
    x = (centre + width * np.random.default_rng(0).normal(size=(n, 3))).astype("float32")
    x[:, 1] -= np.float32(centre)  # a column near zero beside them
    model = minidl.Sequential(minidl.BatchNorm(3, decay=0.0))
    y = model.forward(x, training=True)
    expected, mean, var = reference(x)
    np.testing.assert_allclose(y, expected, atol=2e-3)
    np.testing.assert_allclose(model.layers[0].moving_mean, mean, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(model.layers[0].moving_var, var * n / (n - 1), rtol=1e-3)
    assert y.dtype == "float32"


def test_a_column_far_from_zero_changes_no_other():
    near = np.random.default_rng(0).normal(size=(60_000, 2)).astype("float32")
    far = near + np.float32([1e5, 0])
    ys = [minidl.Sequential(minidl.BatchNorm(2)).forward(x, training=True) for x in (near, far)]
    np.testing.assert_array_equal(ys[0][:, 1], ys[1][:, 1])


def test_a_constant_column_far_from_zero_becomes_zero():
    x = np.full((60_000, 2), 123456.7, "float32")
    x[:, 1] = np.arange(60_000)
    y = minidl.Sequential(minidl.BatchNorm(2)).forward(x, training=True)
    assert abs(y[:, 0]).max() < 0.01
    np.testing.assert_allclose(y[:, 1], reference(x)[0][:, 1], atol=1e-3)


def test_the_gradient_of_batch_norm_is_right_far_from_zero():
    rng = np.random.default_rng(0)
    x, dy = (1e5 + 10 * rng.normal(size=(60_000, 2))).astype("float32"), rng.normal(size=(60_000, 2)).astype("float32")
    models = [minidl.Sequential(minidl.BatchNorm(2), dtype=dtype) for dtype in ("float32", "float64")]
    dx, expected = (
        (
            model.forward(x.astype(model.params.dtype), training=True),
            model.backward_to_input(dy.astype(model.params.dtype)),
        )[1]
        for model in models
    )
    np.testing.assert_allclose(dx, expected, atol=1e-3 * abs(expected).max())
    np.testing.assert_allclose(models[0].grads, models[1].grads, rtol=1e-3, atol=1.0)


@pytest.mark.parametrize(("eps", "dtype"), [(1e-46, "float32"), (1e-300, "float32"), (1e39, "float32")])
def test_batch_norm_refuses_an_eps_that_its_precision_cannot_hold(eps, dtype):
    with pytest.raises(ValueError, match=f"^eps: expected .*{dtype}"):
        minidl.Sequential(minidl.BatchNorm(2, eps=eps), dtype=dtype)
    minidl.Sequential(minidl.BatchNorm(2, eps=eps), dtype="float64")


@pytest.mark.parametrize(("make", "name"), [(minidl.Adam, "v"), (minidl.RMSprop, "s"), (minidl.Adagrad, "s")])
def test_debug_names_an_average_that_overflows(make, name):
    class Huge(Tanh):
        def backward(self, dy):
            return np.float32(1e22) * super().backward(dy)

    model = minidl.Sequential(minidl.Dense(5, 8), Huge(), minidl.Dense(8, 2), minidl.LogSoftmax(), seed=0)
    where = f"dense0: {name} of {make.__name__} has NaN or infinity in it, in epoch 1, at update 1"
    with pytest.raises(minidl.DivergedError, match=where):
        fit(model, make(), debug=True)


# Learning rates at the end of a run.


class Rates(minidl.Callback):
    """Keeps the learning rate of every update."""

    def __init__(self):
        self.seen = []

    def after_update(self, state, loss):
        self.seen.append(state.optimizer.lr)


def rates_of(lr, epochs=1, batch_size=10):
    callback = Rates()
    fit(small_model(), minidl.SGD(), epochs=epochs, batch_size=batch_size, lr=lr, callbacks=(callback,))
    return callback.seen


@pytest.mark.parametrize("batch_size", [10, 7, 60])
@pytest.mark.parametrize("epochs", [2, 3])
def test_the_last_update_of_one_cycle_has_the_final_rate(epochs, batch_size):
    last = (len(DATA) % batch_size or batch_size) / len(DATA)  # the last batch may be a smaller one
    rates = rates_of(minidl.one_cycle(0.1, epochs, update=last), epochs, batch_size)
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.0001, rel=1e-6)
    assert rates[-1] == min(rates)


@pytest.mark.parametrize(
    "lr",
    [
        minidl.linear(0.1, 0, length=5 / 6),
        minidl.piecewise({0: 0.1, 5 / 6: 0}),
        minidl.one_cycle(0.1, 1, final_factor=0, update=1 / 6),
        minidl.triangular(0, 0.1, 5 / 12),
        lambda t: 0.1 * (t < 0.8),
    ],
    ids=["linear", "piecewise", "one_cycle", "triangular", "function"],
)
def test_a_learning_rate_may_end_at_0(lr):
    assert rates_of(lr)[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_learning_rate_of_0_moves_nothing_but_a_velocity(make):
    optimizer, w = make(), np.ones(3, "float32")
    optimizer.lr = 0
    before = w.copy()
    optimizer.step(w, w.copy())
    np.testing.assert_array_equal(w, before)


def test_a_schedule_that_is_0_throughout_is_refused():
    for lr in (lambda _: 0.0, minidl.constant(0)):
        with pytest.raises(ValueError, match=r"^lr: expected a schedule that is above 0 at some time"):
            rates_of(lr)
    with pytest.raises(ValueError, match=r"^lr after 0 epochs: expected a finite number of at least 0, got -1"):
        rates_of(lambda _: -1)


# What is shown is short, and in a legend tells one optimiser from another.


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (minidl.SGD(), "SGD()"),
        (minidl.Adam(0.001, beta1=0.8), "Adam(beta1=0.8)"),
        (
            minidl.Momentum(0.1, form="pytorch", weight_decay=1e-4),
            "Momentum(lr=0.1, weight_decay=0.0001, form='pytorch')",
        ),
        (minidl.Adam(weight_decay=0.1, decoupled=True), "Adam(weight_decay=0.1, decoupled=True)"),
        (minidl.NLLLoss(), "NLLLoss()"),
        (minidl.MSELoss(), "MSELoss()"),
        (minidl.cosine_restarts(0.1, cycle_mult=2), "cosine_restarts(0.1, cycle_mult=2)"),
    ],
)
def test_what_is_shown_is_short(shown, text):
    assert repr(shown) == text


def test_what_is_shown_of_an_optimizer_is_the_call_that_makes_it():
    optimizer = minidl.RMSprop(0.01, rho=0.99)
    optimizer.step(np.ones(2), np.ones(2))
    optimizer.lr = 0.5
    assert vars(eval(repr(optimizer), vars(minidl)))["lr"] == 0.5


def test_a_data_set_is_a_table_in_a_notebook():
    assert "<td>(60, 5)</td><td>float32</td>" in DATA._repr_html_()
