"""minidl: a tiny deep-learning engine on NumPy, without autograd, to be read as a textbook.

Read the modules in the order in which they are imported here: each uses only what came before it.
"""

from minidl.backend import BACKENDS, array_module, get_backend, to_numpy
from minidl.initializers import glorot_uniform, he_normal, uniform_fan_in
from minidl.layers import Dense, Layer, LogSoftmax, ReLU
from minidl.normalization import BatchNorm
from minidl.dropout import Dropout
from minidl.losses import NLLLoss
from minidl.optimizers import SGD, Adagrad, Adam, Group, Momentum, Nesterov, Optimizer, RMSprop
from minidl.model import Sequential
from minidl.saving import load, save
from minidl.datasets import Dataset, load_idx, load_mnist, read_idx, standardize
from minidl.augmentation import RandomAffine
from minidl.schedules import (
    constant,
    cosine_restarts,
    exp_range,
    exponential_decay,
    linear,
    one_cycle,
    piecewise,
    step_decay,
    triangular,
    triangular2,
)
from minidl.early_stopping import EarlyStopping
from minidl.history import DivergedError, History
from minidl.checkpoints import Training, load_training, save_training
from minidl.training import evaluate, fit, minibatches, predict
from minidl.lr_finder import RangeTest, lr_find, lr_range_test

__version__ = "0.1.0"

__all__ = [
    "BACKENDS",
    "SGD",
    "Adagrad",
    "Adam",
    "BatchNorm",
    "Dataset",
    "Dense",
    "DivergedError",
    "Dropout",
    "EarlyStopping",
    "Group",
    "History",
    "Layer",
    "LogSoftmax",
    "Momentum",
    "NLLLoss",
    "Nesterov",
    "Optimizer",
    "RMSprop",
    "RandomAffine",
    "RangeTest",
    "ReLU",
    "Sequential",
    "Training",
    "array_module",
    "constant",
    "cosine_restarts",
    "evaluate",
    "exp_range",
    "exponential_decay",
    "fit",
    "get_backend",
    "glorot_uniform",
    "he_normal",
    "linear",
    "load",
    "load_idx",
    "load_mnist",
    "load_training",
    "lr_find",
    "lr_range_test",
    "minibatches",
    "one_cycle",
    "piecewise",
    "predict",
    "read_idx",
    "save",
    "save_training",
    "standardize",
    "step_decay",
    "to_numpy",
    "triangular",
    "triangular2",
    "uniform_fan_in",
]
