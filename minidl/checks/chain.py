"""Check that layers fit together: each must accept as many features as the one before it returns."""

from collections.abc import Sequence

from minidl.layers import Layer


def check_chain(layers: Sequence[Layer]) -> tuple[int | None, int | None]:
    """Return how many features ``layers`` take and return, or None if any number is allowed.

    Raises:
        TypeError: one of them is not a `Layer`.
        ValueError: there is none, one appears twice, or the features of two neighbours differ.
    """
    if not layers:
        raise ValueError("layers: expected at least one, got none")
    features_in = features = None
    seen: set[int] = set()
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"layers: expected instances of Layer, got {layer!r} at position {i}")
        if id(layer) in seen:
            raise ValueError(f"layers: {layer} at position {i} is already in the chain; make a second one")
        seen.add(id(layer))
        if layer.in_features is not None and features is None:
            features_in = layer.in_features
        elif layer.in_features not in (None, features):
            raise ValueError(
                f"layers: {layer} at position {i} expects {layer.in_features} features, but it receives {features}"
            )
        features = layer.out_features or features
    return features_in, features
