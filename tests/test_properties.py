"""Properties that hold for whatever network, batch and optimiser Hypothesis comes up with."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.testing import check_gradients
from minidl.testing.strategies import batches, labelled_batches, labels, learning_rates, networks, optimizers


def gradient(model, x, t):
    loss = minidl.NLLLoss()
    value = loss.forward(model.forward(x, training=True), t)
    model.backward(loss.backward())
    return float(value), model.grads.copy()


@given(batches(), st.data())
def test_the_gradient_of_every_network(x, data):
    check_gradients(data.draw(networks(x)), x)


@given(labelled_batches(), st.data(), st.floats(-1e3, 1e3))
def test_the_loss_ignores_shifts_of_the_logits(batch, data, shift):
    x, t = batch
    logits = data.draw(batches(len(x), 3))
    losses = [minidl.NLLLoss().forward(minidl.LogSoftmax().forward(z), t) for z in (logits, logits + shift)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_the_loss_is_exact_at_extreme_logits(dtype, size):
    logits = np.array([[size, 0, 0]], dtype)
    log_p = minidl.LogSoftmax().forward(logits)
    losses = [float(minidl.NLLLoss().forward(log_p, np.array([label]))) for label in range(3)]
    half = float(np.log(np.array(2, dtype)))
    assert losses == ([0, 1e4, 1e4] if size > 0 else [pytest.approx(1e4 + half), half, half])


@given(labelled_batches(), st.data(), st.integers(2, 4))
def test_a_batch_several_times_has_the_same_loss_and_gradient(batch, data, times):
    x, t = batch
    model = data.draw(networks(x.shape[1]))
    once, many = gradient(model, x, t), gradient(model, np.tile(x, (times, 1)), np.tile(t, times))
    assert many[0] == pytest.approx(once[0], rel=1e-12, abs=1e-14)
    np.testing.assert_allclose(many[1], once[1], rtol=1e-9, atol=1e-12)


@given(labelled_batches(), st.data())
def test_batches_add_up_to_the_full_gradient(batch, data):
    x, t = batch
    model = data.draw(networks(x.shape[1]))
    cut = data.draw(st.integers(0, len(x)))
    parts = [(x[part], t[part]) for part in (slice(0, cut), slice(cut, None)) if len(x[part])]
    summed = sum(len(x_part) * gradient(model, x_part, t_part)[1] for x_part, t_part in parts)
    np.testing.assert_allclose(summed / len(x), gradient(model, x, t)[1], rtol=1e-9, atol=1e-12)


@given(labelled_batches(), st.data(), optimizers())
def test_a_rate_of_zero_changes_nothing(batch, data, optimizer):
    x, t = batch
    model = data.draw(networks(x.shape[1]))
    before = model.params.copy()
    gradient(model, x, t)
    optimizer.lr = 0.0
    optimizer.step(model.params, model.grads, model.groups)
    np.testing.assert_array_equal(model.params, before)


@given(labelled_batches(), st.data(), learning_rates(largest=1e-3))
def test_a_small_step_against_the_gradient_does_not_raise_the_loss(batch, data, rate):
    x, t = batch
    model = data.draw(networks(x.shape[1]))
    value, direction = gradient(model, x, t)
    model.params -= min(rate, 1e-6) * direction
    assert gradient(model, x, t)[0] <= value + 1e-9


@given(batches(), st.data())
def test_permuting_hidden_units_leaves_the_output(x, data):
    hidden = data.draw(st.integers(1, 6))
    model = minidl.Sequential(
        minidl.Dense(x.shape[1], hidden), minidl.ReLU(), minidl.Dense(hidden, 3), seed=0, dtype="float64"
    )
    before = model.forward(x)
    order = data.draw(st.permutations(range(hidden)))
    first, _, second = model.layers
    first.W[...], first.b[...], second.W[...] = first.W[:, order], first.b[order], second.W[order]
    np.testing.assert_allclose(model.forward(x), before, rtol=1e-12, atol=1e-12)


@given(st.data())
def test_views_alias_after_copies(data):
    model = data.draw(networks(3, batch_norm=True))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.to("numpy"), model[:]):
        other.params[...] = np.arange(other.params.size)
        seen = [getattr(layer, name).ravel() for layer in other.layers for name in layer.param_shapes()]
        np.testing.assert_array_equal(np.concatenate(seen), other.params)


@given(st.data(), optimizers())
def test_float32_stays_float32(data, optimizer):
    model = data.draw(networks(3, batch_norm=True, dtype="float32"))
    x = data.draw(batches(data.draw(st.integers(2, 5)), 3)).astype("float32")
    t = data.draw(labels(len(x), 3))
    gradient(model, x, t)
    optimizer.step(model.params, model.grads, model.groups)
    arrays = [model.params, model.grads, *optimizer.state.values()]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}


@given(labelled_batches(), st.data(), optimizers())
def test_a_copied_optimizer_goes_on_alike(batch, data, optimizer):
    x, t = batch
    model = data.draw(networks(x.shape[1]))
    gradient(model, x, t)
    optimizer.step(model.params, model.grads)
    other, twin = copy.deepcopy(model), copy.deepcopy(optimizer)
    for network, stepper in ((model, optimizer), (other, twin)):
        gradient(network, x, t)
        stepper.step(network.params, network.grads)
    np.testing.assert_array_equal(other.params, model.params)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_network_learns_20_images_by_heart(mnist, batch_norm):
    train, _ = mnist
    few = minidl.Dataset(train.x[:20], train.labels[:20])
    layers = [minidl.Dense(784, 64), *([minidl.BatchNorm(64)] if batch_norm else []), minidl.ReLU()]
    model = minidl.Sequential(*layers, minidl.Dense(64, 10), minidl.LogSoftmax(), seed=0)
    history = minidl.fit(model, minidl.Adam(0.003), few, few, epochs=60, batch_size=10, seed=0)
    assert history.train_accuracy[-1] == 1.0
    assert history.train_loss[-1] < 0.05
