"""Chapter 39: what the batch size does to the gradient.

Question: a batch's gradient is the mean over its samples. Do these agree, or do they compete and cancel? And how do the
gradients of large and small batches differ: in length, in spread, in how far they carry the weights?

First a law that needs no experiment, but must pass one: at the same weights, the *mean* gradient of a batch becomes
shorter as the batch grows; `lab/sample_gradients.py` has the formula. A claim that gradients become longer with the
batch size can only mean *sums* over the batch, or different weights. The figure shows both sums and means.

What to look at in the figure: on top, the law's line passes through the measurements; the histograms show the lengths
of batch gradients early and late in training, each batch size at the weights that it has reached. Below, sums and
means; angles between the gradients of two samples of a batch; the distance from the initial weights, against epochs and
against updates. At the bottom, the minima of small and of large batches after Keskar et al.: how sharp they are, and
the loss along the line through both.

The settings are those of chapter 37, for 10 epochs; all runs start from the same weights, and the seed only draws the
order of the samples. Keskar's network F1 is trained on the first 20,000 images, and its loss is taken over the first
5,000.

    python examples/chapter39.py --jobs 2      # five seeds: about 20 minutes on two cores
    python examples/chapter39.py --quick       # a taste in less than a minute

Sources: Kevin Shen, "Effect of batch size on training dynamics" (Mini Distill, 2018), and the end of chapter 38 of the
Deep Learning Book (Data Science Academy), for the claims G1 to G4; chapter 39 itself was not at hand. Keskar et al.
2017, "On large-batch training for deep learning", section 2.2 and metric 2.1; Dinh et al. 2017, "Sharp minima can
generalize for deep nets"; Shallue et al. 2019, "Measuring the effects of data parallelism on neural network training".
"""

from functools import partial
from typing import Any

import numpy as np

import minidl
from lab.claims import judge
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.figures.chapter39 import draw
from lab.network import mnist, network
from lab.results import Results, Settings
from lab.runs import Run
from lab.sample_gradients import check_law, look_at_gradients, norm
from lab.sharpness import compare_minima
from lab.verdicts.chapter39 import CLAIMS, RULES, SIZES, TIMES, in_short

FULL = {"train_size": 60_000, "epochs": 10, "batches": 200, "stride": 4096, "law_sizes": [16, 64, 256, 1024, 4096]}
FULL |= {"keskar_size": 20_000, "keskar_epochs": {"small": 20, "large": 60}, "keskar_width": 512}
FULL |= {"sharpness_samples": 5_000}
QUICK = {"train_size": 3_000, "epochs": 2, "batches": 30, "stride": 1024, "law_sizes": [16, 64, 256, 1024]}
QUICK |= {"keskar_size": 2_000, "keskar_epochs": {"small": 2, "large": 6}, "keskar_width": 64, "sharpness_samples": 500}
CAVEATS = (
    "Dinh et al. 2017: rescaling the weights changes sharpness and leaves the function alone; "
    "Shallue et al. 2019: no evidence that larger batches generalise worse once everything is tuned."
)
verdicts = partial(judge, CLAIMS, RULES, FULL, scope=" (a quick run)")


def main(given: list[str] | None = None) -> None:
    """Run what is missing, and print which claims held."""
    args = parse(options("Chapter 39: what the batch size does to the gradient.", seeds=[0, 1, 2, 3, 4]), given)
    settings = {
        "data": "MNIST, standardised with mean and standard deviation of the training set",
        "network": "784-1024-1024-10, ReLU, log-softmax, negative log-likelihood; Keskar: F1, batch-normalised",
        "initialisation": "he_normal, biases zero, the same weights for all seeds",
        "optimizer": "SGD; Keskar: Adam",
        "lr": 0.01,
        "keskar_lr": 0.001,
        "dtype": "float32",
        "backend": args.backend,
    } | (QUICK if args.quick else FULL)
    results = Results(args.out / "chapter39.json", settings, environment(args.backend))
    runs = [Run(f"batch {size}", seed, travel, {"batch_size": size}) for seed in args.seeds for size in SIZES]
    runs += [Run("law", seed, check_law, {}) for seed in args.seeds]
    runs += [Run("minima", seed, compare_minima, {}) for seed in args.seeds]
    conduct(results, runs, verdicts, draw, args.jobs, in_short=in_short)
    if not args.quick:
        print(f"Caveats. {CAVEATS}")


def travel(settings: Settings, seed: int, batch_size: int) -> dict[str, Any]:
    """Train, follow the distance from the initial weights, and look at gradients after the first and the last epoch."""
    (data, _), rng = mnist(settings["train_size"], settings["backend"]), np.random.default_rng(seed)
    model = network(0, settings["backend"])
    state, start = minidl.Training(model, minidl.SGD(settings["lr"]), rng), model.params.copy()
    way: dict[str, list[float]] = {"samples": [0], "distance": [0.0]}
    gradients = {}
    for epoch in range(settings["epochs"]):
        for _ in minidl.descend(state, minidl.minibatches(data, batch_size, rng)):
            if state.seen // settings["stride"] > way["samples"][-1] // settings["stride"]:  # seen in all epochs
                way["samples"].append(state.seen)
                way["distance"].append(norm(model.params - start))
        if epoch in (0, settings["epochs"] - 1):
            gradients[TIMES[epoch > 0]] = look_at_gradients(model, data, batch_size, settings["batches"], rng)
    return {"way": way, "gradients": gradients}


if __name__ == "__main__":
    run_script(main)
