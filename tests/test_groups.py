"""Freezing, rates for each layer, and parts of a network."""

import copy
import pickle

import numpy as np
import pytest

import minidl

OPTIMIZERS = {
    "SGD": minidl.SGD,
    "Momentum": minidl.Momentum,
    "Momentum, pytorch": lambda **options: minidl.Momentum(form="pytorch", **options),
    "Nesterov": minidl.Nesterov,
    "Adagrad": minidl.Adagrad,
    "RMSprop": minidl.RMSprop,
    "Adam": minidl.Adam,
    "AdamW": lambda **options: minidl.Adam(decoupled=True, **options),
}


def deep_model(dtype="float32", seed=0):
    return minidl.Sequential(
        minidl.Dense(5, 8),
        minidl.BatchNorm(8),
        minidl.ReLU(),
        minidl.Dropout(0.3),
        minidl.Dense(8, 6),
        minidl.ReLU(),
        minidl.Dense(6, 2),
        minidl.LogSoftmax(),
        seed=seed,
        dtype=dtype,
    )


def fit(model, data, optimizer=None, **options):
    options = {"epochs": 2, "batch_size": 10, "seed": 0} | options
    return minidl.fit(model, optimizer or minidl.SGD(0.1), data, data, **options)


def arrays(layer):
    names = [*layer.param_shapes(), *layer.buffers]
    return {name: getattr(layer, name).copy() for name in names}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("frozen", [["dense0", 1], ["dense4"], ["batchnorm1"], [0, "batchnorm1", "dense4"], [-2]])
def test_frozen_layers_stay_bit_identical(small_data, make, frozen):
    model, optimizer = deep_model(), make(lr=0.01, weight_decay=0.1)
    fit(model, small_data, optimizer)  # momentum is under way
    model.freeze(*frozen)
    chosen = [model.layer(name) for name in frozen]
    before = [(layer, arrays(layer)) for layer in model.layers]
    fit(model, small_data, optimizer)
    for layer, values in before:
        for name, value in values.items():
            same = getattr(layer, name).tobytes() == value.tobytes()
            assert same == (layer in chosen), (layer.name, name)


def test_unfrozen_layers_learn_again(small_data):
    model = deep_model()
    model.freeze("dense0", "dense4")
    model.unfreeze("dense0")
    assert [layer.name for layer in model.layers if layer.frozen] == ["dense4"]
    before = model.layers[0].W.copy()
    fit(model, small_data)
    assert (before != model.layers[0].W).any()


def test_all_at_once(small_data):
    model = deep_model()
    model.freeze()
    before = model.params.tobytes()
    fit(model, small_data, minidl.Adam(0.1, weight_decay=0.1))
    assert model.params.tobytes() == before
    assert model.groups == []
    model.unfreeze()
    fit(model, small_data)
    assert model.params.tobytes() != before


def test_freezing_while_training(small_data):
    model = deep_model()
    model.freeze("dense0")
    seen = []

    def unfreeze_after_two(model, history):
        seen.append(model.layers[0].W.copy())
        if len(history) == 2:
            model.unfreeze("dense0")

    fit(model, small_data, epochs=3, after_epoch=unfreeze_after_two)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert (seen[1] != seen[2]).any()


def spied(called, name, method, real):
    def spy(dy):
        called.append((name, method))
        return real(dy)

    return spy


def test_backward_does_nothing_below_the_lowest_layer_that_learns(small_data, monkeypatch):
    model = deep_model()
    model.freeze("dense0", "dense4")
    called = []
    for layer in model.layers:
        for method in ("backward", "backward_params"):
            monkeypatch.setattr(layer, method, spied(called, layer.name, method, getattr(layer, method)))
    model.forward(small_data.x, training=True)
    model.backward(np.ones((60, 2), "float32"))
    # BatchNorm, between the two frozen layers, is the lowest that learns.
    assert [name for name, method in called if method == "backward"][:5] == [
        "logsoftmax7",
        "dense6",
        "relu5",
        "dense4",
        "dropout3",
    ]
    assert ("batchnorm1", "backward_params") in called
    assert not [name for name, _ in called if name == "dense0"]

    called.clear()
    model.freeze("batchnorm1")
    model.forward(small_data.x, training=True)
    model.backward(np.ones((60, 2), "float32"))
    assert {name for name, _ in called} == {"logsoftmax7", "dense6"}


def test_the_trunk_works_as_in_evaluation(small_data):
    model = deep_model()
    assert model.frozen_prefix == 0
    model.freeze("dense0", "batchnorm1", "dense4")
    assert model.frozen_prefix == 5  # dropout, in the midst of the frozen layers, belongs to it
    out = model.forward(small_data.x, training=True)
    np.testing.assert_array_equal(out, model.forward(small_data.x))
    assert all(layer._memory is None for layer in model.layers[:5])
    model.unfreeze("dense0")
    assert model.frozen_prefix == 0


def test_dropout_before_the_first_layer_that_learns_stays_on():
    model = minidl.Sequential(minidl.Dropout(0.5), minidl.Dense(40, 2), seed=0)
    assert model.frozen_prefix == 0
    x = np.ones((1, 40), "float32")
    assert (model.forward(x, training=True) != model.forward(x)).any()


def test_backward_to_input_passes_through_frozen_layers_above():
    model = deep_model(dtype="float64")
    model.freeze("dense4")
    model.forward(np.ones((4, 5)) * np.arange(4)[:, None], training=True)
    assert model.backward_to_input(np.ones((4, 2))).shape == (4, 5)


@pytest.mark.parametrize("factor", [0.1, 3.0])
def test_rates_for_each_layer(small_data, factor):
    plain, scaled = deep_model(dtype="float64"), deep_model(dtype="float64")
    scaled.scale_lr("dense0", factor)
    before = plain.params.copy()
    data = minidl.Dataset(small_data.x.astype("float64"), small_data.labels)
    for model in (plain, scaled):
        fit(model, data, epochs=1, batch_size=60)  # one update
    steps, scaled_steps = plain.params - before, scaled.params - before
    np.testing.assert_allclose(scaled_steps[:48], factor * steps[:48], rtol=1e-8)
    np.testing.assert_array_equal(scaled_steps[48:], steps[48:])


@pytest.mark.parametrize("factor", [0, -1, float("nan")])
def test_bad_factors(factor):
    with pytest.raises(ValueError, match=r"^factor: expected a finite number above 0"):
        deep_model().scale_lr(0, factor)


@pytest.mark.parametrize("which", ["dense9", 8, -9, "", None, 1.0, True])
def test_unknown_layers(which):
    model = deep_model()
    for method in (model.layer, model.freeze, model.unfreeze, lambda which: model.scale_lr(which, 1)):
        with pytest.raises(ValueError, match=r"^layer: expected a position from 0 to 7 or one of .'dense0'"):
            method(which)


def test_an_unknown_layer_among_known_ones_freezes_none():
    model = deep_model()
    with pytest.raises(ValueError, match=r"layer: "):
        model.freeze("dense0", "dense9")
    assert not any(layer.frozen for layer in model.layers)


def test_names_can_be_chosen():
    trunk = minidl.Dense(2, 3)
    trunk.name = "trunk"
    model = minidl.Sequential(trunk, minidl.ReLU())
    assert model.layer("trunk") is trunk
    assert model.layer(-1) is model.layer("relu1") is model.layer(np.int64(1))
    model.layers[1].name = "trunk"
    with pytest.raises(ValueError, match=r"layer: "):
        model.layer("trunk")


def test_groups_follow_the_parameters():
    model = minidl.Sequential(minidl.Dense(2, 3), minidl.BatchNorm(3), minidl.Dense(3, 1))
    model.freeze("batchnorm1")
    model.scale_lr(2, 0.1)
    assert model.groups == [
        minidl.Group(slice(0, 6), 1.0, False),
        minidl.Group(slice(6, 9), 1.0, True),
        minidl.Group(slice(15, 18), 0.1, False),
        minidl.Group(slice(18, 19), 0.1, True),
    ]


def test_the_head_on_precomputed_activations_is_the_head_in_place(small_data):
    data = minidl.Dataset(small_data.x.astype("float64"), small_data.labels)
    in_place, split = deep_model(dtype="float64"), deep_model(dtype="float64")
    for model in (in_place, split):
        model.freeze("dense0", "batchnorm1", "dense4")
        model.layers[1].moving_mean[...] = 0.3
    trunk = split.frozen_prefix
    features = minidl.Dataset(minidl.predict(split[:trunk], data.x), data.labels)
    one, other = fit(in_place, data, minidl.Adam(0.1)), fit(split[trunk:], features, minidl.Adam(0.1))
    np.testing.assert_allclose(split.params, in_place.params, rtol=1e-12)
    np.testing.assert_allclose(other.train_loss, one.train_loss, rtol=1e-12)
    assert (split.params != deep_model(dtype="float64").params).any()


def test_a_part_shares_and_a_copy_of_it_does_not():
    model = deep_model()
    part = model[4:]
    assert (part.in_features, part.out_features) == (8, 2)
    assert part.layers == model.layers[4:]
    part.params[...] = 7
    assert (model.layers[4].W == 7).all()
    assert (model.layers[0].W != 7).any()
    x = np.ones((3, 5), "float32")
    np.testing.assert_array_equal(part.forward(model[:4].forward(x)), model.forward(x))
    for other in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        other.params[...] = 1
        assert (other.layers[0].W == 1).all()
        assert (model.layers[4].W == 7).all()


def test_predict_in_pieces(small_data, monkeypatch):
    model = deep_model()
    whole = model.forward(small_data.x)
    monkeypatch.setattr(minidl.fitting, "EVALUATION_BATCH", 7)
    np.testing.assert_allclose(minidl.predict(model, small_data.x), whole, rtol=1e-5)
    with pytest.raises(ValueError, match="x: expected at least one sample"):
        minidl.predict(model, small_data.x[:0])


@pytest.mark.parametrize("part", [slice(3, 3), slice(0, 8, 2), slice(None, None, -1)])
def test_parts_must_be_in_a_row(part):
    with pytest.raises(ValueError, match=r"^part: expected at least one layer, in a row"):
        deep_model()[part]


def test_a_part_is_a_slice():
    with pytest.raises(TypeError, match=r"^part: expected a slice"):
        deep_model()[0]


def test_copy_from_takes_parameters_and_buffers(small_data):
    trained, fresh = deep_model(), deep_model(seed=1)
    fit(trained, small_data)
    fresh.copy_from(trained)
    np.testing.assert_array_equal(fresh.forward(small_data.x), trained.forward(small_data.x))
    fresh.params[...] = 0
    assert trained.params.any()
    with pytest.raises(ValueError, match=r"other: expected the layers Sequential"):
        fresh.copy_from(trained[2:])


def test_a_trunk_moves_to_a_network_with_another_head():
    old = minidl.Sequential(minidl.Dense(4, 3), minidl.ReLU(), minidl.Dense(3, 5), seed=0)
    new = minidl.Sequential(minidl.Dense(4, 3), minidl.ReLU(), minidl.Dense(3, 2), seed=1)
    head = new.layers[2].W.copy()
    new[:2].copy_from(old[:2])
    np.testing.assert_array_equal(new.layers[0].W, old.layers[0].W)
    np.testing.assert_array_equal(new.layers[2].W, head)


def test_a_layer_cannot_serve_two_models():
    model = deep_model()
    with pytest.raises(ValueError, match=r"Dense\(5, 8\) at position 0 already belongs to a model"):
        minidl.Sequential(model.layers[0])
    with pytest.raises(ValueError, match=r"ReLU\(\) at position 1 already belongs to a model"):
        minidl.Sequential(minidl.Dense(5, 8), model.layers[2])
    with pytest.raises(ValueError, match="already belongs"):
        minidl.Sequential(copy.deepcopy(model).layers[2])
    minidl.Sequential(copy.deepcopy(model.layers[0]))


def test_summary_shows_what_is_frozen(capsys):
    model = minidl.Sequential(minidl.Dense(2, 3), minidl.Dense(3, 1))
    model.freeze("dense0")
    model.summary()
    assert "dense0  Dense(2, 3)  (B, 3)  9 frozen\n" in capsys.readouterr().out
