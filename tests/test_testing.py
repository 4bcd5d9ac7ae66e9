"""The checker of layers and gradients: a zoo of wrong layers does not pass it, and its messages help.

`test_testing_zoo.py` has more of both kinds, right and wrong.
"""

import copy

import numpy as np
import pytest
from right_layers import Softsign, Squares, Tanh

import minidl
from minidl import BatchNorm, Dense, Dropout, LogSoftmax, NLLLoss, ReLU
from minidl.testing import (
    ContractError,
    GradientError,
    KinkError,
    check_gradients,
    check_layer,
    complex_step_gradient,
    numerical_gradient,
)
from minidl.testing.hints import Gradient, explain

# The zoo. Every layer is right but for one mistake, made in practice or easily made.


class WrongSign(Dense):
    def backward(self, dy):
        return -super().backward(dy)


class WrongSignOfBias(Dense):
    def backward_params(self, dy):
        super().backward_params(dy)
        self.db *= -1


class TransposedInput(Dense):
    def backward(self, dy):
        self.backward_params(dy)
        return dy @ self.W


class TransposedWeights(Dense):
    def backward_params(self, dy):
        super().backward_params(dy)
        self.dW[...] = self.dW.T.copy()


class MeanForSum(Dense):
    def backward_params(self, dy):
        super().backward_params(dy)
        self.dW /= len(dy)


class MeanBias(Dense):
    def backward_params(self, dy):
        super().backward_params(dy)
        self.db /= len(dy)


class SumTimesBatch(Dense):
    def backward_params(self, dy):
        super().backward_params(dy)
        self.dW *= len(dy)


class BiasOfFirstSample(Dense):
    def backward_params(self, dy):
        super().backward_params(dy)
        self.db[...] = dy[0]


class ForgottenBias(Dense):
    def backward_params(self, dy):
        x = self.recall(dy)
        self.dW[...] = x.T @ dy


class ForgottenWeights(Dense):
    def backward_params(self, dy):
        self.recall(dy)
        self.db[...] = dy.sum(axis=0)


class ReboundGradient(Dense):
    """Writes to an array of its own, which the model never sees."""

    def backward_params(self, dy):
        x = self.recall(dy)
        vars(self).update(dW=x.T @ dy, db=dy.sum(axis=0))  # an assignment would copy


class Accumulating(Dense):
    def backward_params(self, dy):
        x = self.recall(dy)
        self.dW += x.T @ dy
        self.db += dy.sum(axis=0)


class StaleCache(Dense):
    """Remembers the first batch for ever."""

    def forward(self, x, training=False):
        y = super().forward(x, training)
        if training:
            self.first = getattr(self, "first", x)
            self.remember(y, self.first)
        return y


class NothingConsumed(Dense):
    def backward(self, dy):
        memory = self._memory
        dx = super().backward(dy)
        self._memory = memory
        return dx


class EvaluationRemembers(ReLU):
    def forward(self, x, training=False):
        return super().forward(x, training=True)


class UncheckedShape(ReLU):
    def recall(self, dy):
        memory, self._memory = self._memory, None
        if memory is None:
            raise RuntimeError("no forward")
        return memory[2][: len(dy)]


class DenseInDisagreement(Dense):
    """backward is right, and what is asked of the first layer is not."""

    def backward(self, dy):
        x = self._memory[2]
        dx = super().backward(dy)
        self.dW[...] = x.T @ dy
        return dx

    def backward_params(self, dy):
        super().backward_params(dy)
        self.dW *= 2


class MissingMask(ReLU):
    def backward(self, dy):
        self.recall(dy)
        return dy * 1


class InvertedMask(ReLU):
    def backward(self, dy):
        return dy * (self.recall(dy) <= 0)


class MaskOfTheGradient(ReLU):
    def backward(self, dy):
        self.recall(dy)
        return dy * (dy > 0)


class ReLUInPlace(ReLU):
    def forward(self, x, training=False):
        x *= x > 0
        if training:
            self.remember(x, x)
        return x


class GradientInPlace(ReLU):
    def backward(self, dy):
        dy *= self.recall(dy) > 0
        return dy


class DoublePrecisionLeak(ReLU):
    def forward(self, x, training=False):
        return super().forward(x, training) * np.float64(1.0)


class DoublePrecisionLeakBackward(ReLU):
    def backward(self, dy):
        return super().backward(dy) * np.ones(1)


class SoftmaxGradientZero(LogSoftmax):
    """Right under an upstream gradient of ones times p, and so for tests that use one."""

    def backward(self, dy):
        self.recall(dy)
        return 0 * dy


class SoftmaxWithoutSum(LogSoftmax):
    def backward(self, dy):
        y = self.recall(dy)
        return dy - np.exp(y) * dy


class SoftmaxOverTheBatch(LogSoftmax):
    def backward(self, dy):
        y = self.recall(dy)
        return dy - np.exp(y) * dy.sum(axis=0)


class SoftmaxOfTheWholeBatch(LogSoftmax):
    """Its forward pass normalises over samples too, and its backward pass is right for that."""

    def forward(self, x, training=False):
        y = x - np.log(np.exp(x).sum())
        if training:
            self.remember(y, y)
        return y

    def backward(self, dy):
        return dy - np.exp(self.recall(dy)) * dy.sum()


class BatchNormWithoutVariance(BatchNorm):
    """Takes the variance for a constant."""

    def backward(self, dy):
        x_hat, std = self.recall(dy)
        self.dgamma[...] = (dy * x_hat).sum(axis=0)
        self.dbeta[...] = dy.sum(axis=0)
        d = self.gamma * dy
        return (d - d.mean(axis=0)) / std[0]


class BatchNormWithoutMean(BatchNorm):
    def backward(self, dy):
        x_hat, std = self.recall(dy)
        self.dgamma[...] = (dy * x_hat).sum(axis=0)
        self.dbeta[...] = dy.sum(axis=0)
        d = self.gamma * dy
        return (d - x_hat * (d * x_hat).mean(axis=0)) / std[0]


class BatchNormWithoutGamma(BatchNorm):
    """Invisible where gamma is 1, as it is at the start."""

    def backward(self, dy):
        gamma = self.gamma.copy()
        self.gamma[...] = 1
        dx = super().backward(dy)
        self.gamma[...] = gamma
        return dx


class BatchNormThatLearnsInEvaluation(BatchNorm):
    def forward(self, x, training=False):
        y = super().forward(x, training)
        self.moving_mean += 0.1 * (x.mean(axis=0) - self.moving_mean)
        return y


class BatchNormOfTheBatchInEvaluation(BatchNorm):
    def forward(self, x, training=False):
        if training or len(x) < 2:
            return super().forward(x, training)
        return self.gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + self.eps) + self.beta


class DropoutInEvaluation(Dropout):
    def forward(self, x, training=False):
        y = super().forward(x, training=True)
        if not training:
            self._memory = None
        return y


class DropoutWithANewMaskBackward(Dropout):
    def backward(self, dy):
        self.recall(dy)
        return dy * (self.rng.random(dy.shape) >= self.p) / (1 - self.p)


class DropoutUnscaledBackward(Dropout):
    def backward(self, dy):
        return dy * (self.recall(dy) > 0)


class GlobalDice(Dropout):
    """Draws from a generator that copies do not have."""

    dice = np.random.default_rng(0)

    def forward(self, x, training=False):
        if training:
            mask = (self.dice.random(x.shape) >= self.p).astype(x.dtype) / (1 - self.p)
            self.remember(x, mask)
            return x * mask
        return x


class FlatOutput(ReLU):
    def forward(self, x, training=False):
        return super().forward(x, training)[:, :1]


class NotPicklable(ReLU):
    def __init__(self):
        self.function = lambda x: x


class NumPyOnly(Tanh):
    def forward(self, x, training=False):
        y = np.tanh(x)
        if training:
            self.remember(y, y)
        return y


class SharedBuffers(BatchNorm):
    """Copies itself, but not its moving averages."""

    def __deepcopy__(self, memo):
        return copy.copy(self)


class RebindingInit(Dense):
    def init_params(self, rng):
        vars(self)["W"] = rng.normal(size=self.W.shape)


class UnfilledInit(Dense):
    def init_params(self, rng):
        self.W[...] = np.nan


class GlobalInit(Dense):
    dice = np.random.default_rng(0)

    def init_params(self, rng):
        self.W[...] = self.dice.normal(size=self.W.shape)


class StaleWeights(Dense):
    """Keeps the weights of its first pass."""

    def forward(self, x, training=False):
        self.kept = getattr(self, "kept", self.W.copy())
        y = x @ self.kept + self.b
        if training:
            self.remember(y, x)
        return y


class ShrinkingBias(Dense):
    def backward_params(self, dy):
        super().backward_params(dy)
        self.b *= 0.999


class DetachedWeights(Dense):
    def backward_params(self, dy):
        super().backward_params(dy)
        vars(self)["W"] = self.W.copy()


class WrongInSinglePrecision(ReLU):
    def backward(self, dy):
        return super().backward(dy) * (1 if dy.dtype == np.float64 else 1.5)


class WrongForOneSample(ReLU):
    def backward(self, dy):
        return super().backward(dy) * (1 if len(dy) > 1 else 2)


class NotConsumedByTheFirstLayer(Dense):
    def backward_params(self, dy):
        memory = self._memory
        super().backward_params(dy)
        self._memory = memory

    def backward(self, dy):
        dx = super().backward(dy)
        self._memory = None
        return dx


class FirstLayerInPlace(Dense):
    def backward_params(self, dy):
        super().backward_params(dy)
        dy *= 0

    def backward(self, dy):
        return super().backward(dy.copy())


class NumPyInEvaluation(Tanh):
    def forward(self, x, training=False):
        return super().forward(x, training) if training else np.tanh(x)


class WrongSoftsign(Softsign):
    def backward(self, dy):
        return dy / (1 + abs(self.recall(dy)))


# The class, its number of features (None for any), the rule that it breaks, and what the checker says of it.
ZOO = [
    (WrongSign, 4, "gradients", "dx.*the sign is wrong"),
    (WrongSignOfBias, 4, "gradients", "db.*the sign is wrong"),
    (TransposedInput, 4, "gradients", "dx"),
    (TransposedWeights, 4, "gradients", "dW.*it is transposed"),
    (MeanForSum, 4, "gradients", "dW.*too few: 1/B where a sum is meant"),
    (MeanBias, 4, "gradients", "db.*too few: 1/B where a sum is meant"),
    (SumTimesBatch, 4, "gradients", "dW.*too many: a sum where a mean is meant"),
    (BiasOfFirstSample, 4, "gradients", "db"),
    (ForgottenBias, 4, "gradients", "db.*is nan.*it is NaN: not written"),
    (ForgottenWeights, 4, "gradients", "dW.*it is NaN: not written"),
    (Accumulating, 4, "gradients", "dW.*it is NaN: not written"),
    (StaleCache, 4, "gradients", "dW"),
    (MissingMask, None, "gradients", "dx.*a mask is missing"),
    (InvertedMask, None, "gradients", "dx.*the opposite of the mask"),
    (MaskOfTheGradient, None, "gradients", "dx"),
    (SoftmaxGradientZero, None, "gradients", "dx.*zero throughout"),
    (SoftmaxWithoutSum, None, "gradients", "dx"),
    (SoftmaxOverTheBatch, None, "gradients", "dx"),
    (BatchNormWithoutVariance, 3, "gradients", "dx"),
    (BatchNormWithoutMean, 3, "gradients", "dx"),
    (BatchNormWithoutGamma, 3, "gradients", "dx"),
    (DropoutWithANewMaskBackward, None, "gradients", "dx.*not the mask of the forward pass"),
    (DropoutUnscaledBackward, None, "gradients", "dx.*times what it should be"),
    (GlobalDice, None, "copies", "a copy trains otherwise"),
    (DoublePrecisionLeak, None, "precision", "y is float64 where x is float32"),
    (DoublePrecisionLeakBackward, None, "precision", "dx is float64 where x is float32"),
    (ReLUInPlace, None, "input", "x was changed"),
    (GradientInPlace, None, "input", "dy was changed"),
    (ReboundGradient, 4, "parameters", "dW is replaced; write into it"),
    (DenseInDisagreement, 4, "gradients", "dW.*by backward_params.*it is 2 times"),
    (NothingConsumed, 4, "memory", "a second backward without a forward is not refused"),
    (EvaluationRemembers, None, "memory", "after an evaluation, backward does not refuse"),
    (UncheckedShape, None, "memory", "backward does not refuse a dy of another shape"),
    (BatchNormThatLearnsInEvaluation, 3, "evaluation", "two evaluations of the same input differ"),
    (DropoutInEvaluation, None, "evaluation", "two evaluations of the same input differ"),
    (SoftmaxOfTheWholeBatch, None, "samples", "the output for a sample depends on its batch"),
    (BatchNormOfTheBatchInEvaluation, 3, "samples", "the output for a sample depends on its batch"),
    (FlatOutput, None, "shapes", "y has shape .* in evaluation, expected"),
    (NotPicklable, None, "copies", "Can't .*local object"),
    (SharedBuffers, 3, "copies", "a copy shares parameters or buffers"),
    (NumPyOnly, None, "backends", ""),
    (NumPyInEvaluation, None, "backends", ""),
    (RebindingInit, 4, "start", "init_params replaces W; fill W"),
    (UnfilledInit, 4, "start", "init_params leaves NaN or infinity"),
    (GlobalInit, 4, "start", "the same seed gives other parameters"),
    (StaleWeights, 4, "gradients|parameters", ""),
    (ShrinkingBias, 4, "overwriting|parameters", ""),
    (DetachedWeights, 4, "parameters", "W is replaced; write into it"),
    (WrongInSinglePrecision, None, "precision", "dx differs between float32 and float64"),
    (WrongForOneSample, None, "gradients", "dx.*it is 2 times what it should be"),
    (NotConsumedByTheFirstLayer, 4, "memory", "a second backward_params is not refused"),
    (FirstLayerInPlace, 4, "input", "dy was changed"),
    (WrongSoftsign, None, "gradients", "the forward pass is not analytic"),
]


def make_wrong(kind, features):
    if issubclass(kind, Dense):
        return lambda: kind(features, features)
    if features is not None:
        return lambda: kind(features)
    return kind


@pytest.mark.parametrize(("kind", "features", "rule", "message"), ZOO, ids=[row[0].__name__ for row in ZOO])
def test_wrong_layers_do_not_pass(kind, features, rule, message):
    with pytest.raises(ContractError, match=rf"(?s)fails the check of {rule}, in example \d: .*{message}"):
        check_layer(make_wrong(kind, features))


def test_a_layer_that_is_not_analytic_is_checked_by_differences():
    with pytest.raises(ContractError, match=r'not analytic, .* measure with method="differences"'):
        check_layer(Softsign)
    check_layer(Softsign, method="differences")
    with pytest.raises(ContractError, match="fails the check of gradients"):
        check_layer(WrongSoftsign, method="differences")


class SquaresWithoutColumns(Squares):
    def backward(self):
        return super().backward().sum(axis=1)


def test_own_losses():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    check_gradients(Squares(), x, t)
    with pytest.raises(GradientError, match=r"dlog_p is \(4,\) float64, expected \(4, 3\) float64"):
        check_gradients(SquaresWithoutColumns(), x, t)


class FirstLayerWrong(Dense):
    """backward is right, but training never calls it in the first layer."""

    def backward(self, dy):
        x = self._memory[2]
        dx = super().backward(dy)
        self.dW[...] = x.T @ dy
        return dx

    def backward_params(self, dy):
        super().backward_params(dy)
        self.dW *= 2


def test_what_training_calls_in_the_first_layer_is_checked_too():
    model = minidl.Sequential(FirstLayerWrong(4, 3), LogSoftmax(), seed=0, dtype="float64")
    with pytest.raises(GradientError, match=r"(?s)dW.*by Sequential\.backward,.*it is 2 times"):
        check_gradients(model, np.random.default_rng(0).normal(size=(5, 4)))


def test_frozen_networks_can_be_checked():
    model = network(ReLU())
    model.freeze(0)
    check_gradients(model, np.random.default_rng(0).normal(size=(6, 4)))
    assert model.layers[0].frozen


def test_arguments_of_check_layer():
    with pytest.raises(ValueError, match="examples: expected at least 1"):
        check_layer(ReLU, examples=0)
    with pytest.raises(TypeError, match="make: expected a function that returns a new Layer"):
        check_layer(ReLU())
    with pytest.raises(ValueError, match="method: expected one of complex, differences"):
        check_layer(ReLU, method="guess")


def test_the_zoo_is_large_enough():
    assert len(ZOO) >= 25


class SumLoss(NLLLoss):
    def forward(self, log_p, labels):
        return super().forward(log_p, labels) * len(labels)


class MissingBatch(NLLLoss):
    def backward(self):
        batch = len(self._memory[1])
        return super().backward() * batch


class WrongSignLoss(NLLLoss):
    def backward(self):
        return -super().backward()


class NeighbourLoss(NLLLoss):
    def backward(self):
        return np.roll(super().backward(), 1, axis=1)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (SumLoss(), "(?s)dlog_p.*a factor B = 5 too few"),
        (MissingBatch(), "(?s)dlog_p.*a factor B = 5 too many.*missing 1/B"),
        (WrongSignLoss(), "(?s)dlog_p.*the sign is wrong"),
        (NeighbourLoss(), "dlog_p"),
    ],
)
def test_wrong_losses_do_not_pass(loss, message):
    rng = np.random.default_rng(0)
    log_p, labels = LogSoftmax().forward(rng.normal(size=(5, 3))), rng.integers(0, 3, 5)
    check_gradients(NLLLoss(), log_p, labels)
    with pytest.raises(GradientError, match=message):
        check_gradients(loss, log_p, labels)


def network(middle):
    return minidl.Sequential(Dense(4, 5), middle, Dense(5, 3), LogSoftmax(), seed=0, dtype="float64")


@pytest.mark.parametrize("method", ["complex", "differences"])
def test_a_whole_network(method):
    x = np.random.default_rng(0).normal(size=(6, 4))
    for middle in (ReLU(), BatchNorm(5), Dropout(0.3), Tanh()):
        check_gradients(network(middle), x, method=method)


def test_the_fault_in_a_network_is_named():
    x = np.random.default_rng(0).normal(size=(6, 4))
    wrong = minidl.Sequential(Dense(4, 5), ReLU(), MeanForSum(5, 3), LogSoftmax(), seed=0, dtype="float64")
    with pytest.raises(GradientError, match=r"(?s)meanforsum2\.dW.*too few"):
        check_gradients(wrong, x)


def test_checking_changes_nothing():
    model = network(BatchNorm(5))
    before = model.params.copy(), model.grads.copy(), model.layers[1].moving_mean.copy()
    check_gradients(model, np.random.default_rng(0).normal(size=(6, 4)))
    for array, expected in zip((model.params, model.grads, model.layers[1].moving_mean), before, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_bad_arguments():
    model = network(ReLU())
    with pytest.raises(TypeError, match="x: expected float64, got float32"):
        check_gradients(model, np.zeros((2, 4), "float32"))
    with pytest.raises(ValueError, match="method: expected one of complex, differences"):
        check_gradients(model, np.zeros((2, 4)), method="guess")
    with pytest.raises(ValueError, match="labels: expected the labels of x"):
        check_gradients(NLLLoss(), np.zeros((2, 4)))
    with pytest.raises(TypeError, match="make: expected a function that returns a new Layer"):
        check_layer(lambda: 3)


def test_measured_gradients_of_a_known_function():
    x = np.array([[0.5, -1.0], [2.0, 0.25]])
    expected = 3 * x**2 + np.cos(x)
    np.testing.assert_allclose(complex_step_gradient(lambda x: (x**3 + np.sin(x)).sum(), x), expected, rtol=1e-15)
    np.testing.assert_allclose(numerical_gradient(lambda x: (x**3 + np.sin(x)).sum(), x), expected, rtol=1e-8)
    np.testing.assert_array_equal(x, [[0.5, -1.0], [2.0, 0.25]])
    with pytest.raises(TypeError, match="x: expected float64"):
        numerical_gradient(lambda x: x.sum(), x.astype("float32"))


def test_the_derivative_of_relu_at_zero_is_zero():
    layer = ReLU()
    layer.forward(np.zeros((1, 2)), training=True)
    np.testing.assert_array_equal(layer.backward(np.ones((1, 2))), [[0, 0]])


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda g: -g, "the sign is wrong"),
        (lambda g: 5 * g, "a factor B = 5 too many"),
        (lambda g: g / 5, "a factor B = 5 too few"),
        (lambda g: g.T, "it is transposed"),
        (lambda g: 2 * g, "it is 2 times what it should be"),
        (lambda g: 0 * g, "it is zero throughout"),
        (lambda g: g * [1, 1, 1, np.nan], "it is NaN: not written"),
        (
            lambda g: g * [1, 1, 1, 0],
            "wrong only in column 3, the last, where it is 0 and should not be: a mask is wrong",
        ),
        (lambda g: g * [[1], [1], [3], [3]], "wrong only in rows from 2 on, where it is 3 times what it should be"),
        (lambda g: np.where(g > 0, g, -g), "right in some entries, and wrong in others, where the sign is wrong"),
        (lambda g: g * [1, 2, 3, 4], "each column is multiplied by a number of its own, from 1 to 4"),
        (lambda g: g + np.arange(1, 5)[:, None], "each row is off by a number of its own"),
        (lambda g: g[::-1], "its rows are in the opposite order"),
        (lambda g: np.roll(g, 1, 0), "its rows are shifted by one"),
        (lambda g: g + 1e-5 * g * g, "right to 4 digits"),
        (lambda g: g + 1e-9 * g * g, "right to 8 digits"),
        (lambda g: g + 1, "it is off by 1 throughout"),
        (lambda g: g * g, ""),
    ],
)
def test_likely_causes(change, cause):
    g = np.random.default_rng(0).normal(size=(4, 4))
    hint = explain(Gradient(change(g), g, 1e-10, batch=5))
    assert cause in hint
    assert bool(hint) is bool(cause)


def test_a_missing_mask_is_recognised():
    g = np.random.default_rng(0).normal(size=(4, 4))
    assert "should be 0: a mask is missing" in explain(Gradient(g, g * (g > 0), 1e-10, batch=5))


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        (lambda x, dy: x < 0, "wrong only where x < 0, where the sign is wrong"),
        (lambda x, dy: abs(x) > 1, r"wrong only where |x| is large, above 0.9"),
        (lambda x, dy: dy > 0, "wrong only where dy > 0, where the sign is wrong"),
        (lambda x, dy: x * dy > 0, "right in some entries, and wrong in others, where the sign is wrong"),
    ],
)
def test_hints_say_where_a_gradient_is_wrong(wrong, cause):
    g, x, dy = np.random.default_rng(0).normal(size=(3, 8, 5))
    assert cause in explain(Gradient(np.where(wrong(x, dy), -g, g), g, 1e-10, x=x, dy=dy))


def test_no_hint_is_drawn_from_a_few_numbers():
    g, x, _ = np.random.default_rng(1).normal(size=(3, 2, 2))
    assert "where x" not in explain(Gradient(g + (x < 0), g, 1e-10, x=x))


def test_a_kink_is_no_mistake():
    x = np.random.default_rng(0).normal(size=(3, 2))
    x[1, 0] = 0
    model = minidl.Sequential(ReLU(), seed=0, dtype="float64")
    for method in ("complex", "differences"):
        with pytest.raises(
            KinkError, match=r"ReLU: there is a kink at x\[1, 0\] = 0, where the slope is .* left and .* right"
        ):
            check_gradients(model.layers[0], x, method=method)
    x[1, 0] = 1e-3
    for method in ("complex", "differences"):
        check_gradients(model.layers[0], x, method=method)


def test_a_mistake_beside_a_kink_is_one():
    class Doubled(ReLU):
        def backward(self, dy):
            return 2 * super().backward(dy)

    x = np.full((3, 2), 1e-3)
    model = minidl.Sequential(Doubled(), seed=0, dtype="float64")
    for method in ("complex", "differences"):
        with pytest.raises(GradientError, match="2 times"):
            check_gradients(model.layers[0], x, method=method)


def test_labels_are_used_or_refused():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(6, 4)), rng.integers(0, 3, 6)
    model = network(ReLU())
    check_gradients(model, x, labels)
    with pytest.raises(ValueError, match="labels: expected None, since a layer by itself has no loss"):
        check_gradients(model.layers[0], x, labels)
    with pytest.raises(ValueError, match="labels: expected 0 to 2"):
        check_gradients(model, x, labels + 1)
    wrong = minidl.Sequential(Dense(4, 5), ReLU(), MeanForSum(5, 3), LogSoftmax(), seed=0, dtype="float64")
    with pytest.raises(GradientError, match=r"(?s)meanforsum2\.dW.*too few"):
        check_gradients(wrong, x, labels)


class SortedLabels(NLLLoss):
    def forward(self, log_p, labels):
        labels.sort()
        return super().forward(log_p, labels)


def test_a_loss_that_changes_labels_is_said_to():
    log_p, labels = LogSoftmax().forward(np.random.default_rng(0).normal(size=(4, 3))), np.array([2, 0, 1, 0])
    with pytest.raises(GradientError, match="SortedLabels: forward changes labels"):
        check_gradients(SortedLabels(), log_p, labels)
    np.testing.assert_array_equal(labels, [2, 0, 1, 0])


def test_a_small_error_is_not_taken_for_a_mask():
    class Nearly(Tanh):
        def backward(self, dy):
            return super().backward(dy) + 1e-9 * dy * dy

    with pytest.raises(ContractError, match=r"hint: it is right to \d+ digits"):
        check_layer(Nearly)


def test_a_message_fits_a_screen_and_shows_no_engine():
    def wrong():
        check_layer(WrongSoftsign, method="differences")

    with pytest.raises(ContractError) as caught:
        wrong()
    assert len(str(caught.value).splitlines()) <= 5
    assert max(map(len, str(caught.value).splitlines())) < 300
    assert "object at 0x" not in str(caught.value)
    assert caught.value.__context__ is None
    shown = [entry for entry in caught.traceback if not entry.ishidden(caught)]
    assert [entry.name for entry in shown] == ["test_a_message_fits_a_screen_and_shows_no_engine", "wrong"]


def test_an_exception_in_a_layer_is_told_with_its_line():
    class Breaks(Tanh):
        def backward(self, dy):
            raise KeyError("gone")

    with pytest.raises(ContractError, match=r"KeyError: 'gone' \(in backward, test_testing\.py, line \d+\)"):
        check_layer(Breaks)


def test_the_cost_does_not_grow_with_the_number_of_entries():
    """A layer of 64 by 64 has 4,160 parameters; to nudge each by itself took 40 seconds."""
    calls = []

    class Counted(Dense):
        def forward(self, x, training=False):
            calls.append(len(x))
            return super().forward(x, training)

    check_layer(lambda: Counted(64, 64), examples=1)
    assert len(calls) < 400
    assert sum(calls) < 15_000
