"""A trick with the C library: memory that has been freed is kept for the arrays of the next step."""

import numpy as np


def keep_freed_memory() -> None:
    """Make glibc keep the memory of freed arrays, instead of returning it to the system after every step.

    Each step makes new activations. If the system takes back their memory after one step and hands it out for the next,
    it clears every page: with batches of 1024, 3,400 pages and a quarter of the time. glibc keeps up to twice as much
    free memory as the largest piece that has been freed, if that was less than 32 MB: see mallopt(3). So we make one
    such array, never touch it, and drop it. With batches of 4096, which need more, pages still come and go. Other C
    libraries are not affected.
    """
    np.empty(31 << 20, "uint8")
