"""Record the steps of PyTorch's optimisers, for tests/test_optimizers.py to compare with.

    pip install torch numpy
    python tests/data/record_pytorch.py

Five float64 parameters make twelve steps with given gradients; the learning rate falls to a third after the fifth.
PyTorch is needed to make the recording only, not to run the tests.
"""

import json
from pathlib import Path

import numpy as np
import torch

RATES = [0.1] * 5 + [0.03] * 7
OPTIMIZERS = {
    "SGD": (torch.optim.SGD, {}),
    "SGD, L2": (torch.optim.SGD, {"weight_decay": 0.1}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "momentum, L2": (torch.optim.SGD, {"momentum": 0.8, "weight_decay": 0.1}),
    "Nesterov, constant rate": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "Adagrad": (torch.optim.Adagrad, {"eps": 1e-10}),
    "RMSprop": (torch.optim.RMSprop, {"alpha": 0.9, "eps": 1e-8}),
    "Adam": (torch.optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-8}),
    "Adam, L2": (torch.optim.Adam, {"betas": (0.8, 0.99), "eps": 1e-8, "weight_decay": 0.1}),
    "AdamW": (torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}),
}


def record(
    make: type, options: dict, rates: list[float], start: np.ndarray, gradients: np.ndarray
) -> list[list[float]]:
    """Return the parameters after each step."""
    w = torch.nn.Parameter(torch.tensor(start))
    optimizer = make([w], lr=rates[0], **options)
    steps = []
    for rate, gradient in zip(rates, gradients, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        w.grad = torch.tensor(gradient)
        optimizer.step()
        steps.append(w.detach().tolist())
    return steps


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=5), rng.normal(size=(len(RATES), 5))
    recording = {
        "torch": torch.__version__,
        "start": start.tolist(),
        "gradients": gradients.tolist(),
        "rates": {},
        "steps": {},
    }
    for name, (make, options) in OPTIMIZERS.items():
        rates = [RATES[0]] * len(RATES) if "constant" in name else RATES
        recording["rates"][name] = rates
        recording["steps"][name] = record(make, options, rates, start, gradients)
    path = Path(__file__).with_name("pytorch_optimizers.json")
    path.write_text(json.dumps(recording, indent=1) + "\n")
