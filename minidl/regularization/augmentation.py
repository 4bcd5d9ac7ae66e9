"""Augmentation: training images moved, turned and resized a little, differently each time they are seen.

A digit that is shifted by a pixel is the same digit. A dense layer cannot know this, because it treats every pixel as a
feature of its own. Many such images teach it.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from minidl.backend import Array, Generator, convert, to_numpy
from minidl.checks import below_one, not_negative, positive_int
from minidl.loop import Batches

Augmentation: TypeAlias = Callable[[Array, Generator], Array]
"""Changes samples at random: (x, generator) -> an array with the shape and dtype of x."""


def augmented(batches: Batches, augment: Augmentation, rng: Generator) -> Iterator[tuple[Array, Array]]:
    """Yield ``batches`` with their samples changed by ``augment``."""
    for x, labels in batches:
        yield augment(x, rng), labels


class RandomAffine:
    """Shift, rotate and scale each image by random amounts, drawn uniformly; pass it to `minidl.fit` as ``augment``.

    Every pixel of the new image looks up where it came from, and takes a weighted mean of the four pixels around that
    point. With o the centre of the image, s the scale, R the rotation by φ and t the shift,

        source = o + (1/s) Rᵀ (target − o − t)

    A point outside the image has the value of the nearest edge.

    Args:
        shift: largest shift in pixels, along each axis and in both directions, at least 0.
        rotation: largest angle in degrees, in both directions, at least 0.
        scale: largest enlargement or reduction, as a fraction: 0.1 for sizes from 90 % to 110 %; from 0, below 1.
        shape: height and width of the images, at least 1 each.

    Raises:
        TypeError, ValueError: an argument is out of range.
        ImportError: SciPy is missing: install minidl[augment].

    Source: Simard, Steinkraus and Platt 2003, "Best practices for convolutional neural networks applied to visual
    document analysis", section 2. The images are warped by ``scipy.ndimage.affine_transform``.
    """

    def __init__(
        self, shift: float = 2.0, rotation: float = 10.0, scale: float = 0.1, shape: tuple[int, int] = (28, 28)
    ):
        self.shift = not_negative("shift", shift)
        self.rotation = not_negative("rotation", rotation)
        self.scale = below_one("scale", scale)
        if not isinstance(shape, tuple) or len(shape) != 2:
            raise TypeError(f"shape: expected a pair of whole numbers, got {shape!r}")
        self.shape = (positive_int("shape", shape[0]), positive_int("shape", shape[1]))
        try:
            from scipy import ndimage  # noqa: F401
        except ImportError as error:
            raise ImportError("RandomAffine warps images with SciPy: install minidl[augment]") from error

    def __call__(self, x: Array, rng: Generator) -> Array:
        """Return changed images of ``x``, both (B, height · width); the work is done in main memory.

        Raises:
            ValueError: the number of features is not height · width.
        """
        from scipy.ndimage import affine_transform  # not kept: a module cannot be copied

        if x.ndim != 2 or x.shape[1] != self.shape[0] * self.shape[1]:
            raise ValueError(f"x: expected images of {self.shape[0]} × {self.shape[1]} pixels, got shape {x.shape}")
        images = to_numpy(x).reshape(-1, *self.shape)
        warped = np.empty_like(images)
        centre = (np.array(self.shape) - 1) / 2
        angles = np.deg2rad(rng.uniform(-self.rotation, self.rotation, len(x)))
        scales = rng.uniform(1 - self.scale, 1 + self.scale, len(x))
        shifts = rng.uniform(-self.shift, self.shift, (len(x), 2))
        for image, out, angle, scale, shift in zip(images, warped, angles, scales, shifts, strict=True):
            cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
            back = np.array([[cos, sin], [-sin, cos]])  # (1/s) Rᵀ
            offset = centre - back @ (centre + shift)
            affine_transform(image, back, offset, output=out, order=1, mode="nearest")
        return convert(warped.reshape(x.shape), like=x)
