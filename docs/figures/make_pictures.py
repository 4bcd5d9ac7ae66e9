"""Draw the pictures of the pages on the engine, each from what minidl itself computes.

python docs/figures/make_pictures.py [FOLDER]       # default: the folder of this script

Each function makes one picture, which shows one idea. The pictures are SVG, narrow enough for a telephone, with letters
of 12 pixels on a white ground, in the colours of Okabe and Ito, which the colour-blind can tell apart.
"""

import sys
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import make_drawings
import numpy as np
from make_drawings import BACKWARD, FORWARD, LETTERS, WIDTH, arrow, box, canvas
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import minidl
from minidl.backend import Array
from minidl.initializers import Initializer
from minidl.loop import Schedule

BLUE, ORANGE, GREEN, RED, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9"
PALE = "#cfe6f5"
STYLE: dict[Any, Any] = make_drawings.STYLE | {
    "axes.titlesize": LETTERS,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2,
}


def main() -> None:
    """Draw all pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    with plt.rc_context(STYLE):
        for name, draw in PICTURES.items():
            figure = draw()
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})  # no date: the same file each time
            plt.close(figure)


def panels(rows: int, columns: int, height: int, **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure as wide as a telephone allows, ``height`` pixels high, and its axes from left to right."""
    size = (WIDTH / 96, height / 96)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **options)
    return figure, list(axes.flat)


def relu() -> Figure:
    """Draw the rectifier, and what it multiplies the gradient by."""
    figure, (left, right) = panels(1, 2, 190)
    layer, x = minidl.ReLU(), np.linspace(-2, 2, 400)  # no point lies on the kink
    left.plot(x, layer.forward(x, training=True), color=BLUE)
    slope = layer.backward(np.ones_like(x))
    for side in (x < 0, x > 0):
        right.plot(x[side], slope[side], color=RED)
    right.plot(0, 0, "o", color=RED)
    right.plot(0, 1, "o", color=RED, markerfacecolor="white")
    left.set(title="forward: y = max(x, 0)", xticks=[-2, 0, 2], yticks=[0, 1, 2], xlabel="x")
    right.set(title="backward: dx for dy = 1", xticks=[-2, 0, 2], yticks=[0, 1], xlabel="x", ylim=(-0.1, 2.1))
    return figure


def softmax() -> Figure:
    """Draw scores, their log-probabilities and probabilities, and the same with a constant added to the scores."""
    figure, axes = panels(2, 3, 300)
    x = np.array([[-1.0, 0.0, 2.0], [1.0, 2.0, 4.0]])
    y = minidl.LogSoftmax().forward(x)
    columns = ("scores x", x, BLUE), ("y = log p", y, ORANGE), ("p, sum 1", np.exp(y), GREEN)
    limits = (-2, 5.4), (-4.4, 1), (0, 1.1)
    for column, ((title, values, colour), limit) in enumerate(zip(columns, limits, strict=True)):
        for row in range(2):
            ax = axes[3 * row + column]
            bars = ax.bar(range(3), values[row], color=colour)
            numbers = [f"{value:.{2 if column else 0}f}".replace("-", "−") for value in values[row]]
            ax.bar_label(bars, numbers, padding=2)
            ax.axhline(0, color="black", linewidth=0.8)
            ax.set(ylim=limit, xticks=[], yticks=[], title=title if row == 0 else "")
            ax.spines[:].set_visible(False)
    axes[0].set_ylabel("as they are")
    axes[3].set_ylabel("each 2 more")
    return figure


def dense_shapes() -> Figure:
    """Draw the three matrix products of a dense layer as rectangles, with equal letters at equal lengths."""
    lengths = {"B": 56, "D": 42, "H": 28}
    dense = minidl.Dense(lengths["D"], lengths["H"])
    model = minidl.Sequential(dense, seed=0)
    y = model.forward(np.ones((lengths["B"], lengths["D"]), "float32"), training=True)
    shapes = {"y": y.shape, "dx": model.backward_to_input(y).shape, "dW": dense.dW.shape}
    figure, axes = canvas(350)
    products = {"y": ("x", "BD", "W", "DH"), "dW": ("xᵀ", "DB", "dy", "BH"), "dx": ("dy", "BH", "Wᵀ", "HD")}
    for row, (result, (left, left_sides, right, right_sides)) in enumerate(products.items()):
        letter = {length: name for name, length in lengths.items()}
        sides = "".join(letter[length] for length in shapes[result])
        colour = FORWARD if result == "y" else BACKWARD
        middle = 66 + 112 * row
        for x, symbol, letters in ((62, result, sides), (170, left, left_sides), (270, right, right_sides)):
            height, width = lengths[letters[0]], lengths[letters[1]]
            corner = x - width / 2, middle - height / 2
            axes.add_patch(Rectangle(corner, width, height, facecolor=PALE, edgecolor=colour, linewidth=1.4))
            axes.text(x, middle, symbol, ha="center", va="center", color=colour, weight="bold")
            axes.text(corner[0] - 5, middle, letters[0], ha="right", va="center")
            axes.text(x, corner[1] - 9, letters[1], ha="center", va="center")
        axes.text(114, middle, "=", ha="center", va="center")
        axes.text(218, middle, "·", ha="center", va="center", weight="bold")
    axes.text(306, 66, "+ b", va="center", color=FORWARD, weight="bold")
    return figure


def regimes() -> Figure:
    """Draw five steps of gradient descent down the valley ½ w², at one learning rate in each of the four regimes."""
    figure, axes = panels(2, 2, 330, sharex=True, sharey=True)
    valley = np.linspace(-3, 3, 100)
    rates = {0.3: "below 1/h: creeps", 1.0: "1/h: arrives", 1.7: "below 2/h: jumps", 2.2: "above: diverges"}
    for ax, (lr, name) in zip(axes, rates.items(), strict=True):
        w, optimizer = np.array([-1.2]), minidl.SGD(lr)
        path = [w.copy()]
        for _ in range(5):
            optimizer.step(w, w)
            path.append(w.copy())
        places = np.array(path)
        ax.plot(valley, valley**2 / 2, color="#a0a0a0", linewidth=1.2)
        ax.plot(places, places**2 / 2, "o-", color=BLUE, markersize=4, linewidth=1.2)
        ax.plot(*path[0], path[0] ** 2 / 2, "s", color=ORANGE, markersize=7)
        ax.set(xlim=(-3.1, 3.1), ylim=(-0.3, 4.6), xticks=[], yticks=[])
        ax.set_title(f"η = {lr}\n{name}", loc="left")
    return figure


OPTIMIZERS: dict[str, tuple[minidl.Optimizer, str, str]] = {  # with what each remembers, and its step
    "SGD": (minidl.SGD(0.09), "no memory", "w ← w − ηg"),
    "Momentum": (minidl.Momentum(0.03, gamma=0.8), "v ← γv + ηg", "w ← w − v"),
    "Nesterov": (minidl.Nesterov(0.03, gamma=0.8), "v ← γv + ηg", "w ← w − ηg − γv"),
    "Adagrad": (minidl.Adagrad(0.8), "s ← s + g²", "w ← w − ηg/√s"),
    "RMSprop": (minidl.RMSprop(0.15), "s ← ρs + (1 − ρ)g²", "w ← w − ηg/√s"),
    "Adam": (minidl.Adam(0.3), "m̂, v̂: means of g, g²", "w ← w − ηm̂/√v̂"),
}


def ravine() -> Figure:
    """Draw twenty steps of each optimiser down the same ravine, twenty times as steep across as along."""
    figure, axes = panels(3, 2, 540, sharex=True, sharey=True)
    for ax, (name, (optimizer, memory, step)) in zip(axes, OPTIMIZERS.items(), strict=True):
        draw_descent(ax, optimizer)
        ax.set_title(f"{name}\n{memory}\n{step}", loc="left")
    return figure


def momentum() -> Figure:
    """Draw twenty steps down the ravine, without momentum and with it, at a low and at a high learning rate."""
    figure, axes = panels(2, 2, 340, sharex=True, sharey=True)
    settings = {(0.03, 0.0): "creeps", (0.11, 0.0): "diverges", (0.03, 0.8): "arrives", (0.11, 0.5): "arrives"}
    for ax, ((rate, gamma), name) in zip(axes, settings.items(), strict=True):
        draw_descent(ax, minidl.Momentum(rate, gamma=gamma))
        ax.set_title(f"η = {rate}, γ = {gamma:g}\n{name}", loc="left")
    return figure


def draw_descent(ax: Axes, optimizer: minidl.Optimizer) -> None:
    """Draw a ravine, and twenty steps down it."""
    curvatures = np.array([1.0, 20.0])
    across, along = np.meshgrid(np.linspace(-1.5, 1.5, 80), np.linspace(-5, 2, 80))
    loss = (curvatures[0] * along**2 + curvatures[1] * across**2) / 2
    w = np.array([-4.0, 1.0])
    path = [w.copy()]
    for _ in range(20):
        optimizer.step(w, curvatures * w)
        path.append(w.copy())
    ax.contour(along, across, loss, levels=[0.3, 2, 6, 13, 25], colors="#a0a0a0", linewidths=0.8)
    ax.plot(*np.transpose(path), "o-", color=BLUE, markersize=3, linewidth=1.2)
    ax.plot(*path[0], "s", color=ORANGE, markersize=7)
    ax.plot(0, 0, "*", color=RED, markersize=11)
    ax.set(xlim=(-5, 2), ylim=(-1.5, 1.5), xticks=[], yticks=[])
    ax.spines[:].set_visible(True)


RULES: list[tuple[Initializer, str, int]] = [  # with a colour, and the layer below which the name has room
    (minidl.he_normal, BLUE, 20),
    (minidl.glorot_uniform, ORANGE, 20),
    (minidl.uniform_fan_in, RED, 16),
]


def initial_spread() -> Figure:
    """Draw the mean square of what passes through twenty layers, for three rules of initial weights."""
    figure, (ax,) = panels(1, 1, 290)
    x = np.random.default_rng(0).normal(size=(200, 200))
    for rule, colour, place in RULES:
        squares = mean_squares(rule, x, depth=20)
        ax.semilogy(squares, "o-", color=colour, markersize=3)
        ax.text(place - 0.5, squares[place] / 10, rule.__name__, ha="right", va="top")
    ax.set(xticks=[0, 5, 10, 15, 20], xlabel="layers passed", ylim=(1e-17, 1e4))
    ax.set_yticks([1e-15, 1e-10, 1e-5, 1], ["10⁻¹⁵", "10⁻¹⁰", "10⁻⁵", "1"])
    ax.set_title("mean square of the activations", loc="left")
    ax.minorticks_off()
    return figure


def mean_squares(rule: Initializer, x: Array, depth: int) -> list[float]:
    """Return the mean square of ``x``, and of what each of ``depth`` dense layers with rectifiers makes of it."""
    units = x.shape[1]
    layers = [layer for _ in range(depth) for layer in (minidl.Dense(units, units, init=rule), minidl.ReLU())]
    squares = [float((x**2).mean())]
    for layer in minidl.Sequential(*layers, seed=0, dtype="float64").layers:
        x = layer.forward(x)
        if isinstance(layer, minidl.ReLU):
            squares.append(float((x**2).mean()))
    return squares


def graph() -> Figure:
    """Draw the layers of a network, with the shapes of what passes them forward and backward."""
    layers: list[minidl.Layer] = [minidl.Dense(784, 1024), minidl.ReLU(), minidl.Dense(1024, 10), minidl.LogSoftmax()]
    model, samples = minidl.Sequential(*layers, seed=0), 2
    down: dict[tuple[str, str], tuple[int, ...]] = {}
    back: dict[tuple[str, str], tuple[int, ...]] = {}
    model.watch = lambda layer, name, array: (down if name == "y" else back).update({(layer.name, name): array.shape})
    loss = minidl.NLLLoss()
    loss.forward(model.forward(np.zeros((samples, 784), "float32"), training=True), np.zeros(samples, dtype="int64"))
    dy = loss.backward()
    model.backward(dy)

    def shape(found: tuple[int, ...]) -> str:
        first = "B" if found[0] == samples else f"{found[0]}"
        return f"({', '.join([first, *map(str, found[1:])])})"

    step, middle = 88, WIDTH / 2
    figure, axes = canvas(step * (len(layers) + 1) + 60)
    axes.text(middle - 22, 14, "forward", ha="right", va="center", color=FORWARD, weight="bold")
    axes.text(middle + 22, 14, "backward", va="center", color=BACKWARD, weight="bold")
    arriving = [(samples, 784), *down.values()]
    returning = [back.get((layer.name, "dx")) for layer in model.layers] + [dy.shape]
    names = ["x", "h", "a", "z", "log p"]
    for row, name in enumerate([*(type(layer).__name__ for layer in layers), "NLLLoss"]):
        top = 72 + step * row
        box(axes, middle, top, name)
        beside(axes, middle - 22, top, f"{names[row]} {shape(arriving[row])}", FORWARD)
        found = returning[row]
        beside(axes, middle + 22, top, f"d{names[row]} {shape(found)}" if found else "nobody needs dx", BACKWARD)
        if name == "Dense":
            number = "₁" if row == 0 else "₂"
            for i, (param, size) in enumerate(layers[row].param_shapes().items()):
                text = f"{param}{number} {shape(size)}"
                axes.text(middle - 56, top + 8 + 16 * i, text, ha="right", va="center", color=FORWARD)
                axes.text(middle + 56, top + 8 + 16 * i, f"d{text}", va="center", color=BACKWARD)
        arrow(axes, (middle - 14, top - 48), (middle - 14, top - 4), FORWARD, 1.6)
        if found:
            arrow(axes, (middle + 14, top - 4), (middle + 14, top - 48), BACKWARD, 1.6)
    top = 72 + step * (len(layers) + 1)
    arrow(axes, (middle - 14, top - step + 34), (middle - 14, top - 22), FORWARD, 1.6)
    axes.text(middle - 22, top - 38, "L, one number", ha="right", va="center", color=FORWARD)
    return figure


def beside(axes: Axes, x: float, top: float, text: str, colour: str) -> None:
    """Write beside an arrow that ends at ``top``: on its left if it points down."""
    axes.text(x, top - 27, text, ha="right" if colour == FORWARD else "left", va="center", color=colour)


SCHEDULES: dict[str, Schedule] = {
    "step_decay": minidl.step_decay(1.0, 0.5, every=4),
    "exponential_decay": minidl.exponential_decay(1.0, 0.85),
    "linear: a warm-up": minidl.linear(0.1, 1.0, 4),
    "triangular": minidl.triangular(0.1, 1.0, 2),
    "triangular2": minidl.triangular2(0.1, 1.0, 2),
    "exp_range": minidl.exp_range(0.1, 1.0, 2, 0.9),
    "one_cycle": minidl.one_cycle(1.0, length=16),
    "cosine_restarts": minidl.cosine_restarts(1.0, 0.0, 4),
}


def schedule_shapes() -> Figure:
    """Draw the shape of each schedule, in parts of its maximum."""
    figure, axes = panels(4, 2, 470, sharex=True, sharey=True)
    t = np.linspace(0, 16, 801)[:-1]
    for ax, (name, schedule) in zip(axes, SCHEDULES.items(), strict=True):
        ax.plot(t, [schedule(float(time)) for time in t], color=BLUE)
        ax.set(xticks=[0, 8, 16], yticks=[0, 1], yticklabels=["0", "max"], ylim=(-0.05, 1.1))
        ax.set_title(name, loc="left")
    for ax in axes[-2:]:
        ax.set_xlabel("epochs")
    return figure


def lost_digits() -> Figure:
    """Draw the error of a sum of tenths in float32, in per cent, added one after another and in pairs of halves."""
    figure, (ax,) = panels(1, 1, 260)
    tenths = np.full(1_000_000, 0.1, dtype="float32")
    counts = np.arange(10_000, 1_000_001, 10_000)
    true = counts * float(tenths[0])
    one_by_one = np.cumsum(tenths)[counts - 1].astype("float64")
    in_pairs = np.array([float(tenths[:count].sum()) for count in counts])
    for sums, colour, name, place in ((one_by_one, RED, "one by one", 60), (in_pairs, BLUE, "in pairs", 98)):
        error = 100 * (sums / true - 1)
        ax.plot(counts, error, color=colour)
        ax.text(counts[place], error[place] + 0.06, name, ha="right")
    ax.set(xticks=[0, 500_000, 1_000_000], xlabel="numbers added", yticks=[-0.5, 0, 0.5, 1])
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_title("error of the sum in %", loc="left")
    return figure


def two_losses() -> Figure:
    """Draw the losses of two epochs of four batches, each update halving it, their means, and what is measured."""
    figure, (ax,) = panels(1, 1, 270)
    losses = 8.0 / 2 ** np.arange(9)
    ax.plot(np.arange(8), losses[:8], "o", color=BLUE)
    for epoch in (0, 1):
        mean = losses[4 * epoch : 4 * epoch + 4].mean()
        ax.plot([4 * epoch, 4 * epoch + 3], [mean, mean], color=ORANGE)
    ax.plot([4, 8], losses[[4, 8]], "s", color=RED, markersize=7, markerfacecolor="white", markeredgewidth=2)
    ax.text(0.3, 7.9, "a batch, before its update", color=BLUE, va="center")
    ax.text(3.2, 3.75, "mean of the epoch's batches", color="#8a5f00", va="center")
    ax.text(8.3, 1.5, "measured after the epoch", color=RED, ha="right", va="center")
    ax.set(xticks=range(9), xlabel="updates made", yticks=[0, 2, 4, 6, 8], ylim=(-0.3, 8.8))
    ax.set_title("loss", loc="left")
    return figure


def dropout() -> Figure:
    """Draw what dropout makes of eight samples of five ones: two batches in training, and one in evaluation."""
    figure, axes = panels(1, 3, 250)
    layer = minidl.Dropout(0.5)
    model, x = minidl.Sequential(layer, seed=0, dtype="float64"), np.ones((8, 5))
    shown = {f"training,\nbatch {batch}": model.forward(x, training=True) for batch in (1, 2)}
    shown["evaluation,\nany batch"] = model.forward(x)
    for ax, (title, y) in zip(axes, shown.items(), strict=True):
        for (sample, unit), value in np.ndenumerate(y):
            colour = {0: "white", 1: PALE, 2: BLUE}[int(value)]
            ax.add_patch(Rectangle((unit, sample), 1, 1, facecolor=colour, edgecolor="#808080", linewidth=0.8))
            ink = "white" if value == 2 else "black"
            ax.text(unit + 0.5, sample + 0.5, f"{value:.0f}", ha="center", va="center_baseline", color=ink)
        ax.set(title=title, xlim=(0, 5), ylim=(8, 0), xticks=[], yticks=[], xlabel="units")
        ax.spines[:].set_visible(False)
    axes[0].set_ylabel("samples")
    return figure


def batch_norm() -> Figure:
    """Draw the sums of three units over a batch of digits, before and after batch normalisation."""
    figure, axes = panels(2, 1, 360, sharex=True)
    train, _ = minidl.load_mnist()
    dense, norm = minidl.Dense(784, 100), minidl.BatchNorm(100)
    minidl.Sequential(dense, norm, seed=0)
    x = dense.forward(train.x[:2000])
    y = norm.forward(x, training=True)
    order = x.mean(axis=0).argsort()
    bins = np.linspace(-6, 6, 49)
    for ax, values in zip(axes, (x, y), strict=True):
        for unit, colour, style in zip(order[[0, 50, -1]], (BLUE, ORANGE, GREEN), ("-", "--", ":"), strict=True):
            counts, _ = np.histogram(values[:, unit], bins)
            ax.stairs(counts, bins, color=colour, linestyle=style, linewidth=2)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set(yticks=[], xticks=[-4, 0, 4], xlim=(-6, 6))
        ax.spines["left"].set_visible(False)
    axes[0].set_title("before: a mean and a spread for each unit", loc="left")
    axes[1].set_title("after: mean 0, variance 1", loc="left")
    axes[1].set_xlabel("value of the unit, over 2000 digits")
    return figure


def augmented_digits() -> Figure:
    """Draw three digits, and beside each what augmentation makes of it."""
    figure, axes = panels(3, 5, 250)
    train, _ = minidl.load_mnist()
    augment, rng = minidl.RandomAffine(), np.random.default_rng(0)
    for row, image in enumerate(train.x[[5, 7, 9]]):
        shown = [image, *augment(np.tile(image, (4, 1)), rng)]
        for column, pixels in enumerate(shown):
            ax = axes[5 * row + column]
            ax.imshow(pixels.reshape(28, 28), cmap="gray_r", interpolation="none")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color=RED if column == 0 else "#a0a0a0", linewidth=3 if column == 0 else 0.8)
    axes[0].set_title("given", color=RED, weight="bold")
    axes[3].set_title("as it may be shown", ha="center")
    return figure


def epoch_batches() -> Figure:
    """Draw ten samples in the order of two epochs, and how batches of four cut each epoch."""
    data, size = minidl.Dataset(np.arange(10.0).reshape(10, 1), np.arange(10)), 4
    figure, axes = canvas(190)
    for epoch in range(2):
        top = 36 + 84 * epoch
        axes.text(6, top - 18, f"epoch {epoch}: {ceil(len(data) / size)} updates", va="center", weight="bold")
        left = 6.0
        batches = minidl.minibatches(data, size, np.random.default_rng(epoch))
        for (_, labels), colour in zip(batches, (PALE, "#fae3b0", "#bfe5d8"), strict=True):
            for label in labels:
                axes.add_patch(Rectangle((left, top), 30, 30, facecolor=colour, edgecolor="#606060", linewidth=1))
                axes.text(left + 15, top + 15, str(label), ha="center", va="center")
                left += 30
            axes.text(left - 15 * len(labels), top + 42, f"batch of {len(labels)}", ha="center", va="center")
            left += 13
    return figure


def surprise() -> Figure:
    """Draw the loss of a sample by the probability of its class, and the gradient of its score, with another loss's."""
    figure, (above, below) = panels(2, 1, 420, sharex=True)
    p = np.linspace(0.005, 0.995, 199)
    loss, log_softmax = minidl.NLLLoss(), minidl.LogSoftmax()
    losses, slopes = [], []
    for score in np.log(p / (1 - p)):  # the other score is 0
        losses.append(loss.forward(log_softmax.forward(np.array([[score, 0.0]]), training=True), np.array([0])))
        slopes.append(log_softmax.backward(loss.backward())[0, 0])
    above.plot(p, losses, color=BLUE)
    for chance, text in ((0.1, "ten digits, p = 1/10: 2.30"), (0.5, "even odds, p = ½: 0.69")):
        above.plot(chance, -np.log(chance), "o", color=BLUE)
        above.text(chance + 0.03, -np.log(chance) + 0.2, text)
    above.set(ylim=(0, 5), yticks=[0, 2, 4])
    above.set_title("loss: −log p", loc="left")
    below.plot(p, slopes, color=BLUE)
    below.plot(p, -2 * p * (1 - p) ** 2, "--", color=RED)  # of ½ Σ (p − t)², which passes through the softmax
    below.text(0.2, -0.9, "of −log p: p − 1", color=BLUE)
    below.text(0.02, -0.43, "of the squared error", color=RED)
    below.set(ylim=(-1.05, 0.05), yticks=[-1, -0.5, 0], xticks=[0, 0.5, 1], xlabel="p of the right class")
    below.set_title("gradient of the right score", loc="left")
    return figure


LOOP = [  # what each line of the loop is called, and what attaches beside it
    ("next batch", "wrappers: learning\nrate, augmentation"),
    ("model.forward", "log p"),
    ("loss.forward", "one number"),
    ("backward", "model.grads"),
    ("optimizer.step", "model.params"),
    ("after_update", "callbacks, with the loss"),
    ("measure", "a row of the history"),
    ("after_epoch", "callbacks, with history"),
]


def loop() -> Figure:
    """Draw the two loops of a run, and where wrappers and callbacks attach."""
    step = 58
    figure, axes = canvas(step * len(LOOP) + 12)
    middle, tops = 118, [14 + step * row for row in range(len(LOOP))]
    for (name, note), top in zip(LOOP, tops, strict=True):
        attached = "wrappers" in note or "callbacks" in note
        colour = BACKWARD if attached else FORWARD
        box(axes, middle, top, name)
        axes.text(middle + 58, top + 16, note, va="center", color=colour)
    for top in tops[1:]:
        arrow(axes, (middle, top - step + 32), (middle, top), "black", 1.4)
    for last, left, text in ((5, 44, "update"), (7, 18, "epoch")):
        bottom, first = tops[last] + 16, tops[0] + (16 if last == 5 else 6)
        axes.plot([middle - 50, left, left], [bottom, bottom, first], color="black", linewidth=1.4)
        arrow(axes, (left, first), (middle - 50, first), "black", 1.4)
        axes.text(left - 9, (first + bottom) / 2, text, rotation=90, ha="center", va="center")
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "relu": relu,
    "softmax": softmax,
    "dense_shapes": dense_shapes,
    "regimes": regimes,
    "ravine": ravine,
    "momentum": momentum,
    "initial_spread": initial_spread,
    "graph": graph,
    "schedule_shapes": schedule_shapes,
    "lost_digits": lost_digits,
    "two_losses": two_losses,
    "dropout": dropout,
    "batch_norm": batch_norm,
    "augmented_digits": augmented_digits,
    "epoch_batches": epoch_batches,
    "surprise": surprise,
    "loop": loop,
}
"""The name of each picture, and the function that draws it."""

if __name__ == "__main__":
    main()
