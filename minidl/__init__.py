"""minidl: a tiny deep-learning engine on NumPy, without autograd, to be read as a textbook.

Read the modules of the path in the order in which they are imported here: each builds on those before it. Then read
more, in any order you like.
"""

# The path: what one afternoon reads.
from minidl.backend import BACKENDS, array_module, get_backend, to_numpy
from minidl.initializers import glorot_uniform, he_normal, uniform_fan_in
from minidl.layers import Dense, Layer, LogSoftmax, ReLU
from minidl.losses import NLLLoss
from minidl.optimizers import SGD, Adagrad, Adam, Momentum, Nesterov, Optimizer, RMSprop
from minidl.model import Sequential
from minidl.loop import Callback, History, Training, descend
from minidl.datasets import Dataset, load_mnist, minibatches
from minidl.fitting import evaluate, fit, predict

# More.
from minidl.parameters.blocks import Group
from minidl.preparation.standardization import Standardizer, standardize
from minidl.regularization.dropout import Dropout
from minidl.regularization.normalization import BatchNorm
from minidl.regularization.augmentation import RandomAffine
from minidl.regression.squared_error import MSELoss
from minidl.callbacks.divergence import DivergedError
from minidl.callbacks.early_stopping import EarlyStopping
from minidl.learning_rate.schedules import (
    constant, cosine_restarts, exp_range, exponential_decay, linear, one_cycle, piecewise, step_decay, triangular,
    triangular2,
)  # fmt: skip
from minidl.learning_rate.range_test import RangeTest, lr_find, lr_range_test
from minidl.files.idx import load_idx, read_idx
from minidl.files.memory_maps import convert_idx, load_npy
from minidl.files.models import load, load_standardizer, save
from minidl.files.runs import load_training, save_training
from minidl.inspection.mistakes import classes, confusion_matrix, plot_confusion_matrix, plot_mistakes

__version__ = "0.1.0"

__all__ = [
    "BACKENDS", "SGD", "Adagrad", "Adam", "BatchNorm", "Callback", "Dataset", "Dense", "DivergedError",
    "Dropout", "EarlyStopping", "Group", "History", "Layer", "LogSoftmax", "MSELoss", "Momentum", "NLLLoss",
    "Nesterov", "Optimizer", "RMSprop", "RandomAffine", "RangeTest", "ReLU", "Sequential", "Standardizer",
    "Training", "array_module", "classes", "confusion_matrix", "constant", "convert_idx", "cosine_restarts",
    "descend", "evaluate", "exp_range", "exponential_decay", "fit", "get_backend", "glorot_uniform",
    "he_normal", "linear", "load", "load_idx", "load_mnist", "load_npy", "load_standardizer", "load_training",
    "lr_find", "lr_range_test", "minibatches", "one_cycle", "piecewise", "plot_confusion_matrix",
    "plot_mistakes", "predict", "read_idx", "save", "save_training", "standardize", "step_decay", "to_numpy",
    "triangular", "triangular2", "uniform_fan_in",
]  # fmt: skip
