"""`fit`: train a model, and measure it after each epoch.

It checks its arguments, attaches whatever they ask for to the loop, and runs it (`minidl.loop.run`). `evaluate` and
`predict` use the trained model.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from minidl.backend import Array, Seed, array_module
from minidl.callbacks.after_epoch import AfterEpoch
from minidl.callbacks.checkpoints import Checkpoint, checkpoint_path, plan_of
from minidl.callbacks.debugging import Debugging
from minidl.callbacks.divergence import FiniteLoss, require_finite
from minidl.callbacks.early_stopping import EarlyStopping
from minidl.callbacks.fusing import Fusing
from minidl.callbacks.interruption import KeepHistory
from minidl.callbacks.progress import ProgressBar
from minidl.checks import flag, function_or_none, generator, positive, positive_int
from minidl.checks.data import Pair, check_input, check_sets, is_regression
from minidl.checks.plan import check_callbacks, check_optimizer, check_plan, check_stopping
from minidl.datasets import Data, batch_bounds, take
from minidl.learning_rate.schedules import constant, scheduled
from minidl.loop import Batches, Callback, History, Schedule, Training, run
from minidl.losses import Loss, NLLLoss
from minidl.model import Sequential
from minidl.optimizers import Optimizer
from minidl.regularization.augmentation import Augmentation, augmented

EVALUATION_BATCH = 1000
"""Samples that `evaluate` takes at a time. It limits memory, and changes the result only by rounding."""


def fit(
    model: Sequential,
    optimizer: Optimizer,
    train: Data,
    test: Data | None = None,
    *,
    epochs: int,
    batch_size: int | Schedule,
    loss: Loss | None = None,
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
        model: is changed in place, except for frozen layers. Its output must suit ``loss``.
        optimizer: takes one step for each batch.
        train: samples (n, in_features) of about unit scale, and labels (n,), integers from 0; a `Dataset`, say.
        test: the same for the test set; None to measure nothing there.
        epochs: the number of passes over the training set, at most.
        batch_size: samples in a batch, from 1 to n, or a schedule of such numbers, which are rounded. The last batch of
            an epoch is shorter if n is not a multiple of it.
        loss: `NLLLoss` by default, for log-probabilities (B, classes); `minidl.MSELoss` for numbers instead of
            classes; or one of your own, see `minidl.losses.Loss`.
        lr: the learning rate, or a schedule of it, to set in the optimiser before every update; None leaves it alone.
        seed: for the order of the samples, drawn again for each epoch, and for ``augment``. The same seed, model and
            data give the same numbers again, bit for bit, on the same machine and libraries.
        augment: changes the samples of each training batch; see `minidl.regularization.augmentation`.
        early_stopping: stops when the model no longer improves, and leaves ``model`` as it was after the best epoch,
            however the run ends. The optimiser is not reset: start a further run with a new one.
        after_epoch: is called with the model and the history so far after each epoch; to stop, it returns ``"stop"``.
        callbacks: further instances of `Callback`, called after ``after_epoch`` in this order. A checkpoint does not
            save their state.
        checkpoint: a file with everything that a run needs to resume after a crash or a signal; see
            `minidl.callbacks.checkpoints`.
        checkpoint_every: updates between two checkpoints; None for one after each epoch.
        resume: continue from the checkpoint, if there is one, as if training had never stopped. All other arguments
            must be the same as before, except for ``epochs``, which may be larger.
        debug: name the first output, gradient or parameter with NaN or infinity in it; slower.
        progress: show a progress bar: always, never, or, by default, in a terminal and in a notebook.
        description: is shown before the bar.

    Returns:
        The history, with an entry for each epoch.

    Raises:
        TypeError, ValueError: an argument is not as described, or a schedule gives a number out of range at any time of
            the run; or the checkpoint is damaged, or belongs to another run. Nothing has been changed.
        FileExistsError: there is a checkpoint, and ``resume`` is False.
        OSError: the checkpoint cannot be written. A disk that fills up later only causes a warning.
        DivergedError: the loss became infinite or NaN. The error says where, and what to try.
        SystemExit: a signal has ended a run with checkpoints.
        KeyboardInterrupt: its attribute ``history`` has the epochs that were finished.
    """
    loss = NLLLoss() if loss is None else loss
    sets = check_sets(model, loss, train=train, test=test)
    check_optimizer(optimizer, model)
    epochs, n = positive_int("epochs", epochs), len(sets[0][0])
    schedule = lr if lr is None or callable(lr) else constant(positive("lr", lr))
    function_or_none("augment", augment, "x", "rng")
    function_or_none("after_epoch", after_epoch, "model", "history")
    check_stopping(early_stopping, test is not None, is_regression(loss))
    progress = None if progress is None else flag("progress", progress)
    resume, debug, callbacks = flag("resume", resume), flag("debug", debug), check_callbacks(callbacks)
    state = Training(model, optimizer, generator("seed", seed), early_stopping, loss=loss)
    updates = check_plan(model, epochs, n, batch_size, schedule)

    saver, resumed = None, False
    if checkpoint is not None:
        every = None if checkpoint_every is None else positive_int("checkpoint_every", checkpoint_every)
        plan = plan_of(optimizer, sets, batch_size, lr, early_stopping, seed, loss, augment)
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
        taken: Batches = take(sets[0], state.shuffle(n), batch_size, state.epoch - 1, state.seen)
        if schedule is not None:
            taken = scheduled(taken, state, schedule, n)
        return taken if augment is None else augmented(taken, augment, state.rng)

    def measure() -> dict[str, Any]:
        start = state.epoch - 1
        row = {"lr": optimizer.lr if schedule is None else float(schedule(start))}
        row["batch_size"] = next(batch_bounds(n, batch_size, start))[1]
        for name, data in zip(("train", "test"), sets, strict=False):
            row[f"{name}_loss"], accuracy = measured(model, data, loss)
            require_finite(row[f"{name}_loss"], state, state.updates, f"loss of the {name} set")
            if accuracy is not None:
                row[f"{name}_accuracy"] = accuracy
        if "test_accuracy" in row:
            row["generalization_gap"] = row["train_accuracy"] - row["test_accuracy"]
        return row

    attached = (
        KeepHistory(),
        FiniteLoss(),
        Fusing(updates),
        ProgressBar(updates, epochs, progress, description),
        Debugging() if debug else None,
        early_stopping,
        None if after_epoch is None else AfterEpoch(after_epoch),
        *callbacks,
        saver,  # last, since a checkpoint saves what the others have done
    )
    run(state, epochs, batches, measure, [callback for callback in attached if callback is not None])
    return state.history


def evaluate(model: Sequential, data: Data, loss: Loss | None = None) -> tuple[float, float | Any]:
    """Return mean loss and accuracy, the fraction of samples whose most probable class is right.

    Args:
        model: is not changed.
        data: samples and labels, as for `fit`.
        loss: as for `fit`. In a regression there is no accuracy: None stands in its place.

    Raises:
        ValueError, TypeError: ``data`` is empty, or does not fit the model.
    """
    loss = NLLLoss() if loss is None else loss
    return measured(model, check_sets(model, loss, data=data)[0], loss)


def measured(model: Sequential, data: Pair, loss: Loss) -> tuple[float, float | None]:
    """Do what `evaluate` does with data that has been checked."""
    x, labels = data
    total: Any = 0.0  # both sums stay on a GPU until they are complete
    hits: Any = 0
    for start in range(0, len(x), EVALUATION_BATCH):
        batch = slice(start, start + EVALUATION_BATCH)
        y = model.forward(x[batch])
        # Weighed by length: the plain mean of batch means would be wrong where the last batch is short.
        total += loss.forward(y, labels[batch]) * len(y)
        if not is_regression(loss):
            hits += (y.argmax(axis=1) == labels[batch]).sum()
    return float(total) / len(x), None if is_regression(loss) else float(hits) / len(x)


def predict(model: Sequential, x: ArrayLike) -> Array:
    """Return the output of ``model`` for all of ``x``, (n, in_features) -> (n, out_features), as in evaluation.

    With a part of a network that is frozen, it computes the output of that part once instead of in every epoch:

        features = minidl.Dataset(predict(model[:4], train.x), train.labels)
        fit(model[4:], optimizer, features, …)

    Raises:
        ValueError, TypeError: ``x`` is empty, or does not fit the model.
    """
    rows = check_input("x", x, model)
    parts = [model.forward(rows[start : start + EVALUATION_BATCH]) for start in range(0, len(rows), EVALUATION_BATCH)]
    whole: Array = array_module(rows).concatenate(parts)
    return whole
