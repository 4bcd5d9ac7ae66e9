"""Two layers look beyond a single sample: what becomes of them when ranks share a batch.

*Batch normalisation* takes mean and variance over a batch. Over the whole batch, they would need an exchange in each
layer; here each rank normalises its own part, as is usual. This is the *ghost* batch normalisation of Hoffer et al.
2017: parameters are those of one process with ``BatchNorm(ghost_size=⌈B/R⌉)``. The moving averages are not. One
process moves them R times a step, ghost after ghost, and so keeps decay^R of the old; a rank moves its own once. Their
mean over the ranks, which `average_buffers` takes before evaluation, is one moving average that moves once a step,

    moving ← decay · moving + (1 − decay) · mean over the ranks of (μ, or σ² m / (m − 1))

since all this is linear: it makes no difference whether the statistics are averaged at every step, or their moving
averages at the end. (A rank without samples in an epoch's last, short batch leaves its own as they were.) Evaluation
thus remembers longer than in one process with the same decay; decay^R makes up for that.

*Dropout* draws a mask for each sample. With the same seed all ranks would silence the same units; so each draws the
masks of the whole batch, in the order of one process, and uses those of its part. That work is not shared.

Source: Hoffer et al. 2017, "Train longer, generalize better".
"""

import minidl
from lab.ranks import MPI, Comm


def skip_masks(model: minidl.Sequential, samples: int, features: int) -> None:
    """Let all dropout draw the masks of samples (m, features) that other ranks compute, and forget them."""
    for i, layer in enumerate(model.layers):
        features = layer.out_features or features
        if isinstance(layer, minidl.Dropout) and i >= model.frozen_prefix:
            layer.rng.random((samples, features), dtype="float32")


def average_buffers(comm: Comm, model: minidl.Sequential) -> None:
    """Give all ranks the mean over the ranks of what layers gather besides parameters."""
    for layer in model.layers:
        for name in layer.buffers:
            buffer = getattr(layer, name)
            comm.Allreduce(MPI.IN_PLACE, buffer)
            buffer /= comm.size
