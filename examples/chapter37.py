"""Chapter 37: the effect of the batch size.

Question: with the same data, network, learning rate and number of epochs, does the batch size alone change how well a
network learns? The chapter says yes: larger batches end with lower accuracy, on test *and* on training images.

What to look at in the figure: on the left, against epochs, the curves of 64, 256 and 1024 lie in the order of their
batch sizes. On the right, against the number of updates, the same curves almost coincide: at one learning rate, a large
batch mainly lacks steps. An epoch has 938 of them at batch 64, and only 59 at batch 1024.

The chapter leaves some settings open. Here inputs are standardised with the mean and standard deviation of the training
set; weights are drawn by He's rule, and biases start at zero; there is no momentum; every seed draws new weights and a
new order of samples.

    python examples/chapter37.py                      # the chapter's experiment in full
    python examples/chapter37.py --quick              # a taste in less than a minute
    python examples/chapter37.py --seeds 0 1 2 3 4    # with a band around each curve, and verdicts: three are the least
    python examples/chapter37.py --batch-sizes 1 2 --seeds 0 1 2    # half an hour and more for each run
    python examples/chapter37.py --batch-sizes full   # all 60,000 images in each update: five minutes on one core

Source: Deep Learning Book (Data Science Academy), chapter 37, claims A1 to A8. It retells Kevin Shen, "Effect of batch
size on training dynamics" (Mini Distill, 2018).
"""

import argparse
from functools import partial
from typing import Any

import minidl
from lab.claims import judge
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.figures.chapter37 import draw
from lab.network import mnist, network, train
from lab.results import Results, Settings
from lab.runs import Run
from lab.verdicts.chapter37 import CLAIMS, RULES, in_short
from minidl.checks import positive, positive_int

SEEDS_OF_LONG_RUNS = {1: 3, 2: 3}
"""How many of the seeds the smallest batch sizes have, at most: a run takes most of an hour."""
FULL = {"lr": 0.01, "epochs": 30, "train_size": 60_000}
QUICK = {"lr": 0.01, "epochs": 5, "train_size": 10_000}
verdicts = partial(judge, CLAIMS, RULES, FULL, scope=" (after {epochs} epochs on {train_size:,} images)")


def main(given: list[str] | None = None) -> None:
    """Run what is missing, and print which claims held."""
    args = arguments(given)
    settings = {
        "data": "MNIST, standardised with mean and standard deviation of the training set",
        "network": "784-1024-1024-10, ReLU, log-softmax, negative log-likelihood",
        "initialisation": "he_normal, biases zero",
        "optimizer": "SGD",
        "lr": args.lr,
        "epochs": args.epochs,
        "train_size": args.train_size,
        "dtype": "float32",
        "backend": args.backend,
    }
    results = Results(args.out / "chapter37.json", settings, environment(args.backend))
    plan = [
        Run(f"batch {size}", seed, train_with, {"batch_size": size})
        for size in args.batch_sizes
        for seed in args.seeds[: SEEDS_OF_LONG_RUNS.get(size)]
    ]
    conduct(results, plan, verdicts, draw, args.jobs, in_short=in_short)


def train_with(settings: Settings, seed: int, batch_size: int) -> dict[str, Any]:
    """Train the chapter's network with batches of one size."""
    train_set, test_set = mnist(settings["train_size"])
    model = network(seed, settings["backend"])
    optimizer = minidl.SGD(settings["lr"])
    return train(model, optimizer, train_set, test_set, epochs=settings["epochs"], batch_size=batch_size, seed=seed)


def arguments(given: list[str] | None) -> argparse.Namespace:
    """Read the command line, or ``given`` in its place."""
    parser = options("Chapter 37: the effect of the batch size.", seeds=[0])
    parser.add_argument("--epochs", type=int, help="passes over the training set (30; quick: 5)")
    parser.add_argument(
        "--batch-sizes", nargs="+", default=["64", "256", "1024"], metavar="B", help="numbers, or full (64 256 1024)"
    )
    parser.add_argument("--lr", type=float, help="learning rate (0.01)")
    parser.add_argument("--train-size", type=int, metavar="N", help="the first N training images (60000; quick: 10000)")
    args = parse(parser, given)
    for option, value in (QUICK if args.quick else FULL).items():
        if getattr(args, option) is None:
            setattr(args, option, value)
    try:  # before any run is started
        positive("--lr", args.lr)
        positive_int("--epochs", args.epochs)
        n = positive_int("--train-size", args.train_size, most=60_000)
        args.batch_sizes = [n if size == "full" else int(size) for size in args.batch_sizes]
        for batch_size in args.batch_sizes:
            positive_int("--batch-sizes", batch_size, most=n)
    except ValueError as error:
        parser.error(str(error))
    return args


if __name__ == "__main__":
    run_script(main)
