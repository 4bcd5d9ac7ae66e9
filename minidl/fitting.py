"""`fit`: train a model, and measure it after each epoch.

It checks its arguments, attaches to the loop what they ask for, and runs it (`minidl.loop.run`). `evaluate` and
`predict` use the trained model.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from minidl.backend import Array, Seed, array_module
from minidl.callbacks.after_epoch import AfterEpoch
from minidl.callbacks.checkpoints import Checkpoint, checkpoint_path, plan_of
from minidl.callbacks.debugging import Debugging
from minidl.callbacks.divergence import FiniteLoss, require_finite
from minidl.callbacks.early_stopping import EarlyStopping
from minidl.callbacks.interruption import KeepHistory
from minidl.callbacks.progress import ProgressBar
from minidl.checks import flag, function_or_none, generator, instance, positive, positive_int
from minidl.checks.plan import check_callbacks, check_dataset, check_plan
from minidl.datasets import batch_bounds, take
from minidl.learning_rate.schedules import constant, scheduled
from minidl.loop import Batches, Callback, History, Schedule, Training, run
from minidl.losses import NLLLoss
from minidl.model import Sequential
from minidl.optimizers import Optimizer
from minidl.regularization.augmentation import Augmentation, augmented

EVALUATION_BATCH = 1000
"""Samples that `evaluate` takes at a time. It bounds memory, and has no influence on the result beyond rounding."""


def fit(
    model: Sequential,
    optimizer: Optimizer,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
    *,
    epochs: int,
    batch_size: int | Schedule,
    lr: float | Schedule | None = None,
    seed: Seed = None,
    augment: Augmentation | None = None,
    early_stopping: EarlyStopping | None = None,
    after_epoch: Callable[[Sequential, History], str | None] | None = None,
    callbacks: Iterable[Callback] = (),
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    debug: bool = False,
    progress: bool | None = None,
    description: str = "",
) -> History:
    """Train ``model`` on ``train``, and measure it on ``train`` and ``test`` after each epoch.

    Args:
        model: is changed in place, except for frozen layers. Its output must be log-probabilities (B, classes).
        optimizer: takes one step for each batch.
        train: samples (n, in_features) with the model's dtype, and labels (n,), integers from 0; a `Dataset`, say.
        test: the same for the test set.
        epochs: passes over the training set, at most.
        batch_size: samples in a batch, from 1 to n, or a schedule of such numbers, which are rounded. The last batch of
            an epoch is shorter where the samples do not come out even.
        lr: the learning rate, or a schedule of it, to set in the optimiser before every update; None leaves it alone.
        seed: for the order of the samples, drawn anew every epoch, and for ``augment``. The same seed, model and data
            give the same numbers again, bit for bit, on the same machine and libraries.
        augment: changes the samples of each training batch; see `minidl.regularization.augmentation`.
        early_stopping: stops when it is time, and however the run ends leaves ``model`` as it was after the best epoch.
            The optimiser is not put back: start a further run with a new one.
        after_epoch: is called with the model and the history so far after each epoch; to stop, it returns ``"stop"``.
            It may freeze and unfreeze layers.
        callbacks: what else attaches to the run, instances of `Callback`, called after ``after_epoch`` in this order. A
            checkpoint does not save their state.
        checkpoint: a file for all that a run needs to resume after a crash; see `minidl.callbacks.checkpoints`. With
            it, SIGINT (Ctrl-C) and SIGTERM end the program after the update in progress, with everything saved. The
            previous checkpoint is replaced only when the new one is complete and verified.
        checkpoint_every: updates between two checkpoints; None for one after each epoch.
        resume: go on from the checkpoint, if there is one, as if training had never stopped. All other arguments must
            be the same as before, except for ``epochs``, which may have grown. A run that early stopping or
            ``after_epoch`` has ended stays ended.
        debug: look for NaN and infinity in every layer's output and gradients and in the parameters, and name the
            first place where one appears; slower. It takes the place of the model's own ``watch`` meanwhile.
        progress: show a progress bar: always, never, or, by default, in a terminal and in a notebook.
        description: stands before the bar.

    Returns:
        The history, with an entry for each epoch.

    Raises:
        TypeError, ValueError: an argument is not as described, or a schedule gives a number out of range at any time of
            the run; or the checkpoint is damaged, or of another run. Nothing has been changed.
        FileExistsError: there is a checkpoint, and ``resume`` is False.
        OSError: the checkpoint cannot be written. A disk that is full later on only causes a warning.
        DivergedError: the loss became infinite or NaN. The error names where, and what to try.
        SystemExit: a signal has ended a run with checkpoints; in a notebook, Ctrl-C raises KeyboardInterrupt instead.
        KeyboardInterrupt: as always; its attribute ``history`` has the epochs finished before.
    """
    instance("model", model, Sequential)
    instance("optimizer", optimizer, Optimizer)
    positive("optimizer.lr", optimizer.lr)
    optimizer.check(model.params, model.grads)
    train, test = check_dataset("train", train, model), check_dataset("test", test, model)
    epochs, n = positive_int("epochs", epochs), len(train.x)
    schedule = lr if lr is None or callable(lr) else constant(positive("lr", lr))
    function_or_none("augment", augment)
    function_or_none("after_epoch", after_epoch)
    if early_stopping is not None:
        instance("early_stopping", early_stopping, EarlyStopping)
    if progress is not None:
        flag("progress", progress)
    resume, debug, callbacks = flag("resume", resume), flag("debug", debug), check_callbacks(callbacks)
    state = Training(model, optimizer, generator("seed", seed), early_stopping)
    updates = check_plan(model, epochs, n, batch_size, schedule)

    saver, resumed = None, False
    if checkpoint is not None:
        every = None if checkpoint_every is None else positive_int("checkpoint_every", checkpoint_every)
        plan = plan_of(optimizer, train.labels, batch_size, lr, early_stopping, seed)
        saver = Checkpoint(checkpoint_path(checkpoint, state.rng), every, plan)
        resumed = saver.open(state, resume)
    elif resume or checkpoint_every is not None:
        raise ValueError("resume, checkpoint_every: expected a checkpoint as well, got none")
    if early_stopping is not None and not resumed:
        early_stopping.begin()
    optimizer.prepare(model.params, model.grads)
    if saver is not None:
        saver.begin(state)

    def batches() -> Batches:
        taken: Batches = take(train, state.shuffle(n), batch_size, state.epoch - 1, state.seen)
        if schedule is not None:
            taken = scheduled(taken, state, schedule, n)
        return taken if augment is None else augmented(taken, augment, state.rng)

    def measure() -> dict[str, Any]:
        train_loss, train_accuracy = evaluate(model, train)
        test_loss, test_accuracy = evaluate(model, test)
        require_finite(train_loss, state, state.updates, "loss of the training set")
        require_finite(test_loss, state, state.updates, "loss of the test set")
        start = state.epoch - 1
        return {
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "generalization_gap": train_accuracy - test_accuracy,
            "lr": optimizer.lr if schedule is None else float(schedule(start)),
            "batch_size": next(batch_bounds(n, batch_size, start))[1],
        }

    attached = (
        KeepHistory(),
        FiniteLoss(),
        ProgressBar(updates, epochs, progress, description),
        Debugging() if debug else None,
        early_stopping,
        None if after_epoch is None else AfterEpoch(after_epoch),
        *callbacks,
        saver,  # last, since what the others have done belongs into a checkpoint
    )
    run(state, epochs, batches, measure, [callback for callback in attached if callback is not None])
    return state.history


def evaluate(model: Sequential, data: tuple[Array, Array]) -> tuple[float, float]:
    """Return mean loss and accuracy, the fraction of samples whose most probable class is right.

    Args:
        model: is not changed.
        data: samples (n, in_features) and labels (n,), on the model's backend.

    Raises:
        ValueError, TypeError: ``data`` is empty, or has a wrong shape or dtype.
    """
    x, labels = data
    if not len(x) or len(x) != len(labels):
        raise ValueError(f"data: expected a label for every sample, and at least one; got {len(x)} and {len(labels)}")
    loss = NLLLoss()
    total: Any = 0.0  # both sums stay on a GPU until they are complete
    hits: Any = 0
    for start in range(0, len(x), EVALUATION_BATCH):
        batch = slice(start, start + EVALUATION_BATCH)
        log_p = model.forward(x[batch])
        # Weighed by length: the plain mean of batch means would be wrong where the last batch is short.
        total += loss.forward(log_p, labels[batch]) * len(log_p)
        hits += (log_p.argmax(axis=1) == labels[batch]).sum()
    return float(total) / len(x), float(hits) / len(x)


def predict(model: Sequential, x: Array) -> Array:
    """Return the output of ``model`` for all of ``x``, (n, in_features) -> (n, out_features), as in evaluation.

    With a part of a network it computes in advance what a frozen part passes on, once instead of in every epoch:

        features = minidl.Dataset(predict(model[:4], train.x), train.labels)
        fit(model[4:], optimizer, features, …)

    Raises:
        ValueError, TypeError: ``x`` is empty, or has a wrong shape or dtype.
    """
    if not len(x):
        raise ValueError("x: expected at least one sample, got none")
    parts = [model.forward(x[start : start + EVALUATION_BATCH]) for start in range(0, len(x), EVALUATION_BATCH)]
    whole: Array = array_module(x).concatenate(parts)
    return whole
