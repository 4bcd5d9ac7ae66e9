import sys

import numpy as np
import pytest

import minidl


def images(n=4, size=28):
    """Return smooth random images with a margin of zeros."""
    rng = np.random.default_rng(0)
    x = np.zeros((n, size, size), "float32")
    x[:, 6:-6, 6:-6] = rng.uniform(0, 1, (n, size - 12, size - 12))
    return x.reshape(n, -1)


class Fixed:
    """A generator that draws what it is told."""

    def __init__(self, *values):
        self.values = list(values)

    def uniform(self, low, high, size):
        value = np.asarray(self.values.pop(0), float)
        assert (value >= low).all()
        assert (value <= high).all()
        return np.broadcast_to(value, size)


def warp(x, angle=0.0, scale=1.0, shift=(0, 0), shape=(28, 28)):
    augment = minidl.RandomAffine(shift=5, rotation=180, scale=0.5, shape=shape)
    return augment(x, Fixed(angle, scale, shift)).reshape(-1, *shape)


def test_no_change_is_the_identity():
    x = images()
    np.testing.assert_allclose(warp(x).reshape(x.shape), x, atol=1e-6)
    augment = minidl.RandomAffine(shift=0, rotation=0, scale=0)
    np.testing.assert_allclose(augment(x, np.random.default_rng(0)), x, atol=1e-6)


def test_shift_moves_down_and_right():
    x = images()
    moved = warp(x, shift=(2, 3))
    np.testing.assert_allclose(moved, np.roll(x.reshape(-1, 28, 28), (2, 3), axis=(1, 2)), atol=1e-6)


@pytest.mark.parametrize("quarters", [1, 2, -1])
def test_quarter_turns(quarters):
    x = images()
    turned = warp(x, angle=90 * quarters)
    np.testing.assert_allclose(turned, np.rot90(x.reshape(-1, 28, 28), quarters, axes=(1, 2)), atol=1e-5)


def test_scale_enlarges_about_the_centre():
    x = np.zeros((1, 29, 29))
    x[0, 14 - 4 : 14 + 5, 14 - 4 : 14 + 5] = 1
    sizes = [(warp(x.reshape(1, -1), scale=scale, shape=(29, 29)) > 0.5).sum() for scale in (0.5, 1, 1.5)]
    assert sizes == [5 * 5, 9 * 9, 13 * 13]
    big = warp(x.reshape(1, -1), scale=1.5, shape=(29, 29))
    np.testing.assert_allclose(big, big[:, ::-1, ::-1], atol=1e-9)  # still centred


def test_outside_is_like_the_edge():
    x = np.full((1, 784), -0.42)
    np.testing.assert_allclose(warp(x, shift=(5, -5)), -0.42)


def test_each_image_changes_in_its_own_way_and_the_seed_decides():
    x = np.tile(images(1), (3, 1))
    augment = minidl.RandomAffine()
    one, same, other = (augment(x, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert (one[0] != one[1]).any()
    np.testing.assert_array_equal(x, np.tile(images(1), (3, 1)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_and_shape_stay(dtype):
    x = images().astype(dtype)
    y = minidl.RandomAffine()(x, np.random.default_rng(0))
    assert (y.dtype, y.shape) == (x.dtype, x.shape)


def test_images_that_are_not_square():
    x = np.arange(12.0).reshape(1, 12)
    augment = minidl.RandomAffine(shift=0, rotation=0, scale=0, shape=(3, 4))
    np.testing.assert_allclose(augment(x, np.random.default_rng(0)), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shift": -1}, "shift: "),
        ({"rotation": -1}, "rotation: "),
        ({"rotation": float("nan")}, "rotation: "),
        ({"scale": 1}, "scale: "),
        ({"scale": -0.1}, "scale: "),
        ({"shift": 10**400}, "shift: "),
        ({"shape": (0, 28)}, "shape: expected at least 1, got 0"),
        ({"shape": 28}, "shape: expected a pair of whole numbers, got 28"),
        ({"shape": (28, 28, 3)}, "shape: expected a pair"),
        ({"shape": (28.7, 28)}, "shape: expected a whole number, got 28.7"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises((ValueError, TypeError), match=f"^{message}"):
        minidl.RandomAffine(**options)


def test_rotation_scale_and_shift_together():
    # A dot 6 right of the centre, turned a quarter to the left and brought half as near, is 3 above it; then it moves.
    x = np.zeros((1, 29, 29))
    x[0, 13:16, 19:22] = 1
    y = warp(x.reshape(1, -1), angle=90, scale=0.5, shift=(4, 2), shape=(29, 29))[0]
    assert np.unravel_index(y.argmax(), y.shape) == (14 - 3 + 4, 14 + 2)


def test_wrong_images():
    with pytest.raises(ValueError, match=r"x: expected images of 28 × 28 pixels, got shape \(2, 783\)"):
        minidl.RandomAffine()(np.zeros((2, 783)), np.random.default_rng(0))


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"install minidl\[augment\]"):
        minidl.RandomAffine()


def test_fit_augments_training_images_only(small_data):
    seen = []

    def augment(x, rng):
        seen.append(x.copy())
        return x + rng.normal(size=x.shape).astype(x.dtype)

    def train(augment):
        model = minidl.Sequential(minidl.Dense(5, 2), minidl.LogSoftmax(), seed=0)
        return minidl.fit(model, minidl.SGD(), small_data, small_data, epochs=2, batch_size=25, seed=0, augment=augment)

    plain, augmented = train(None), train(augment)
    assert [len(x) for x in seen] == [25, 25, 10] * 2
    rows = {tuple(row) for row in small_data.x}
    assert {tuple(row) for x in seen for row in x} == rows
    assert augmented.train_loss != plain.train_loss
