"""Fine-tuning: which learning rates suit a network that has learned something already?

Question: a network that can tell digits apart is to learn something new from few labelled images. The article has a
recipe of eight lines for this. Is it better than training from scratch? Are its two ideas worth the trouble: to train
the new last layer first, with all others frozen, and then to give earlier layers lower rates? Two transfers are tried:
from the digits 0 to 4 to 5 to 9, which turned out to have next to nothing to transfer, and from all ten digits to odd
and even, which has. The claims are judged by the second.

What to look at in the figure, with a row for each transfer: on the left, test accuracy against the number of labelled
images, for the recipe and its rivals, all with equally many updates. In the middle, test accuracy after each epoch,
through the lines of the recipe that train: 3, 4 and 8. On the right, how far each layer ends from where it started:
lower rates keep the first close.

In the recipe each layer's rate is a third of the next one's. Other runs have the factors 2.6, Howard and Ruder's
number, and 10, the upper end of the article's range. In line 2 the range test sees the precomputed activations, in
line 7 augmented images. The activations are those of images as they are, as in fast.ai: the augmentation of line 1
begins with line 4. `lab/transfer.py` has the other choices that the article leaves open.

Rivals: *one rate* leaves out line 6; *last layer only* leaves out 5 and 6; *all at once* trains all layers of the
pretrained network from the start, with the recipe's lower rates; *from scratch* starts from random weights, at one
rate. The last two have the updates of lines 3 and 4, too, all of them augmented.

    python examples/fine_tuning.py                               # the experiment in full, ten seeds
    python examples/fine_tuning.py --quick                       # a taste in less than a minute
    python examples/fine_tuning.py --jobs 2                      # in full, shared by two processes

Sources: Zulkifli 2018, "Understanding learning rates and how it improves performance in deep learning", in Portuguese
translation, claims C7 to C9; Howard and Ruder 2018, "Universal language model fine-tuning for text classification",
section 3.2; Yosinski et al. 2014, "How transferable are features in deep neural networks?", section 2.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import minidl
from lab.claims import judge
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.figures.fine_tuning import draw
from lab.results import Results, Settings
from lab.runs import Run
from lab.transfer import TRUNK, Transfer
from lab.verdicts.fine_tuning import CLAIMS, HALVES, MAIN, PARITY, RULES, in_short, named

PARITY_LABELS = (20, MAIN, 500)
FULL = {"labels": [20, MAIN, 500, 2500], "pretrain_size": 60_000, "pretrain_epochs": 5, "images": 2500, "cycles": 4}
QUICK = {"labels": [20, MAIN], "pretrain_size": 10_000, "pretrain_epochs": 2, "images": 1000, "cycles": 3}
verdicts = partial(judge, CLAIMS, RULES, FULL)


def main(given: list[str] | None = None) -> None:
    """Run what is missing; print which claims held, and what each line of the recipe did."""
    args = parse(options("The article on learning rates: fine-tuning.", seeds=list(range(10))), given)
    settings = {
        "data": "MNIST, standardised; pretrained on 0 to 4 among the first pretrain_size images, fine-tuned on 5 to 9",
        "network": "784-256-256-5, ReLU, log-softmax, negative log-likelihood",
        "initialisation": "he_normal, biases zero",
        "optimizer": "Adam, new in each stage",
        "pretrain_lr": 0.001,
        "augmentation": {"shift": 2.0, "rotation": 10.0, "scale": 0.1},
        "suggestion": "valley",
        "first_epochs": 2,  # of line 3, and again of line 4
        "batch_size": 25,
        "dtype": "float32",
        "backend": args.backend,
    } | (QUICK if args.quick else FULL)
    results = Results(args.out / "fine_tuning.json", settings, environment(args.backend))
    runs = [run for seed in args.seeds for labels in settings["labels"] for run in planned(labels, seed)]
    parity = [MAIN] if args.quick else PARITY_LABELS
    runs += [run for seed in args.seeds for labels in parity for run in planned(labels, seed, PARITY)]
    conduct(results, runs, verdicts, draw, args.jobs, in_short=in_short)
    if args.quick:
        return
    shown = results.called(named("recipe", MAIN, PARITY))[0]
    print("\n".join([f"The recipe with {MAIN} labels, seed {shown['seed']}, line by line:", *shown["steps"]]))


def planned(labels: int, seed: int, transfer: str = HALVES) -> list[Run]:
    """Return the runs with so many labelled images: the rivals and, at `MAIN`, the recipe with other factors."""
    factors = {"recipe": 3.0, "one rate": 1.0} | ({"factor 2.6": 2.6, "factor 10": 10.0} if labels == MAIN else {})
    same = {"labels": labels} | ({} if transfer == HALVES else {"transfer": transfer})
    rivals: dict[str, tuple[Callable[..., dict[str, Any]], dict[str, Any]]] = {
        **{rival: (in_stages, {"factor": factor}) for rival, factor in factors.items()},
        "last layer only": (in_stages, {"factor": 1.0, "unfreeze": False}),
        "all at once": (at_once, {"factor": 3.0, "pretrained": True}),
        "from scratch": (at_once, {"factor": 1.0, "pretrained": False}),
    }
    return [Run(named(rival, labels, transfer), seed, how, same | more) for rival, (how, more) in rivals.items()]


def in_stages(
    settings: Settings, seed: int, labels: int, factor: float, unfreeze: bool = True, transfer: str = HALVES
) -> dict[str, Any]:
    """Follow the recipe line by line."""
    moving, epochs = Transfer(settings, seed, labels, True, transfer), settings["first_epochs"]
    model, last = moving.model, moving.model[TRUNK:]
    model.freeze("dense0", "dense2")
    features, held_back = (minidl.Dataset(minidl.predict(model[:TRUNK], x), labels) for x, labels in moving.parts)
    steps = [f"augmentation made ready; {features.x.shape[1]} activations of the trunk precomputed for each image"]
    rate = moving.find_rate(last, features)
    steps.append(f"rate of the last layer, {moving.origin()}: {rate:.2g}")
    moving.fit(last, (features, held_back), epochs, minidl.constant(rate))
    steps.append(f"last layer trained on the activations, {epochs} epochs: test {moving.reached()}")
    moving.fit(moving.model, moving.parts, epochs, minidl.cosine_restarts(rate), augment=moving.augment)
    steps.append(f"last layer trained with augmentation, {epochs} cycles of 1 epoch: test {moving.reached()}")
    trunk = {"pretrained": moving.pretrained, "after line 4": moving.fingerprint()}
    if unfreeze:
        model.unfreeze()
    steps.append("all layers unfrozen" if unfreeze else "left out")
    moving.lower_rates(factor)
    rates = ", ".join(f"{layer.lr_scale:.3g}" for layer in model.layers[::2])
    steps.append("left out" if factor == 1 else f"rates of the layers, from first to last, times {rates}")
    rate = moving.find_rate(model, moving.augmented(), trained=True)
    steps.append(f"rate of the network, {moving.origin()}: {rate:.2g}")
    moving.train_until_overfitting(rate)
    best, reached = moving.best_epoch, moving.reached()
    steps.append(f"all that is not frozen trained, least validation loss after epoch {best}: {reached}")
    trunk["end"] = moving.fingerprint()
    return moving.record() | {"trunk": trunk, "steps": [f"{line} {step}" for line, step in enumerate(steps, start=1)]}


def at_once(
    settings: Settings, seed: int, labels: int, factor: float, pretrained: bool, transfer: str = HALVES
) -> dict[str, Any]:
    """Train all layers from the start, with as many updates as the recipe, in cycles of the same lengths."""
    moving = Transfer(settings, seed, labels, pretrained, transfer)
    moving.lower_rates(factor)
    rate, epochs = moving.find_rate(moving.model, moving.augmented()), 2 * settings["first_epochs"]
    moving.fit(moving.model, moving.parts, epochs, minidl.cosine_restarts(rate), augment=moving.augment)
    moving.train_until_overfitting(rate)
    return moving.record()


if __name__ == "__main__":
    run_script(main)
