"""How many kernels a training step starts on a GPU, as PyTorch's profiler counts them, whoever starts them.

Each start costs the processor some microseconds, and as long as that is more than the kernels take, the GPU waits. A
CUDA graph starts all its kernels at once.
"""

from lab.contestants.task import Work


def counted(work: Work) -> Work:
    """Return ``work`` with a count: starts by the processor, and kernels that ran on the GPU, both per step."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    def count(steps: int) -> dict[str, float]:
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
            work(steps)
        events = found.events() or []
        on_gpu = [event.name for event in events if event.device_type == torch.autograd.DeviceType.CUDA]
        kernels = [name for name in on_gpu if not name.startswith(("Memcpy", "Memset"))]
        starts = [event.name for event in events if "Launch" in event.name and event.name.startswith("cu")]
        return {"starts": len(starts) / steps, "kernels": len(kernels) / steps}

    return count
