"""The checkers of layers and losses, on what they have not been made for: right ones pass, and wrong ones do not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from right_layers import ENGINE, OWN, RIGHT, RIGHT_LOSSES
from wrong_layers import LAYERS, LOSSES

from minidl.testing import ContractError, check_layer, check_loss

DEEP = settings().max_examples > 100
SEEDS = settings().max_examples // 5 if DEEP else 1
"""Seeds for each right layer and loss, of five examples each; in the profile called deep, 10,000 examples in all."""


@pytest.mark.parametrize(("make", "options"), RIGHT.values(), ids=RIGHT)
@settings(max_examples=SEEDS)
@given(seed=st.integers(0, 2**31 - 1))
def test_right_layers_pass(make, options, seed):
    check_layer(make, examples=5, seed=seed, **options)


@pytest.mark.parametrize("make", ENGINE.values(), ids=ENGINE)
def test_differences_agree_with_complex_steps(make):
    check_layer(make, examples=3, method="differences")


@pytest.mark.parametrize(("make", "options"), RIGHT_LOSSES.values(), ids=RIGHT_LOSSES)
@settings(max_examples=SEEDS)
@given(seed=st.integers(0, 2**31 - 1))
def test_right_losses_pass(make, options, seed):
    check_loss(make, examples=5, seed=seed, **options)


def message(name, rule, words):
    return rf"(?s){name.split(',')[0]} fails the check of {rule or '[a-z]+'}, in example \d: .*{words}"


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_layers_do_not_pass(name):
    make, rule, words = LAYERS[name]
    with pytest.raises(ContractError, match=message(name, rule, words)) as caught:
        check_layer(make)
    assert len(str(caught.value).splitlines()) <= 5


@pytest.mark.parametrize("name", LOSSES)
def test_wrong_losses_do_not_pass(name):
    make, rule, words = LOSSES[name]
    with pytest.raises(ContractError, match=message(name, rule, words)) as caught:
        check_loss(make)
    assert len(str(caught.value).splitlines()) <= 5


def test_the_zoo_is_large_enough():
    assert len(LAYERS) + len(LOSSES) >= 100
    assert len(OWN) >= 30


def test_a_loss_of_numbers_is_told_what_to_draw():
    make, options = RIGHT_LOSSES["Squares"]
    with pytest.raises(ContractError, match="fails the check of value"):
        check_loss(make)  # classes are no targets for scores
    check_loss(make, **options)


def test_bad_arguments():
    with pytest.raises(TypeError, match="make: expected a function that returns a new loss"):
        check_loss(3)
    with pytest.raises(TypeError, match="make: expected a function that returns a new loss"):
        check_loss(lambda: 3)
    with pytest.raises(ValueError, match="examples: expected at least 1"):
        check_loss(RIGHT_LOSSES["NLLLoss"][0], examples=0)
    for check, make in ((check_layer, OWN["Tanh"]), (check_loss, RIGHT_LOSSES["NLLLoss"][0])):
        with pytest.raises(TypeError, match="inputs: expected a function"):
            check(make, inputs=3)
        with pytest.raises(TypeError, match="inputs: expected a function"):
            check(make, inputs=[])
        with pytest.raises(ValueError, match="method: expected one of complex, differences"):
            check(make, method="guess")
