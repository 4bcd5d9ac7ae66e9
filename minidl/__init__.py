"""minidl: a tiny deep-learning engine on NumPy, without autograd, to be read as a textbook.

Read the modules in the order in which they are imported here: each uses only what came before it.
"""

from minidl.backend import BACKENDS, array_module, get_backend, to_numpy
from minidl.initializers import glorot_uniform, he_normal, uniform_fan_in
from minidl.layers import Dense, Layer, LogSoftmax, ReLU
from minidl.losses import NLLLoss
from minidl.model import Sequential
from minidl.optimizers import SGD, Optimizer
from minidl.datasets import Dataset, load_idx, load_mnist, read_idx, standardize
from minidl.training import DivergedError, History, evaluate, fit, minibatches

__version__ = "0.1.0"

__all__ = [
    "BACKENDS",
    "SGD",
    "Dataset",
    "Dense",
    "DivergedError",
    "History",
    "Layer",
    "LogSoftmax",
    "NLLLoss",
    "Optimizer",
    "ReLU",
    "Sequential",
    "array_module",
    "evaluate",
    "fit",
    "get_backend",
    "glorot_uniform",
    "he_normal",
    "load_idx",
    "load_mnist",
    "minibatches",
    "read_idx",
    "standardize",
    "to_numpy",
    "uniform_fan_in",
]
