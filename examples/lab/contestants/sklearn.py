"""scikit-learn: its interface offers passes over many images, not single steps."""

import numpy as np
from sklearn.neural_network import MLPClassifier

from lab.contestants.task import Task, Work


def train(task: Task) -> Work:
    """Prepare training steps: passes over as many images as the steps need.

    A pass begins with checks of the images, which are therefore part of the time, as they are for its users.
    """
    x, labels = task.load()
    plain = {"momentum": 0.0, "nesterovs_momentum": False} if task.optimizer == "SGD" else {}
    model = MLPClassifier(
        hidden_layer_sizes=(task.width, task.width),
        solver=task.optimizer.lower(),
        batch_size=task.batch_size,
        learning_rate_init=task.lr,
        alpha=0.0,
        random_state=task.seed,
        **plain,
    )

    def work(steps: int) -> None:
        while steps > 0:
            images = min(steps * task.batch_size, len(x))
            model.partial_fit(x[:images], labels[:images], classes=np.arange(10))
            steps -= images // task.batch_size

    return work
