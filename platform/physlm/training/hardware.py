"""The device that a rank computes on: which, how fast, how much memory."""

from __future__ import annotations

import os
import resource
import statistics
import time

import torch

_USABLE_GPU_MEMORY = 0.85
"""Part of a GPU's memory that models may take; the rest is the allocator's and the libraries'."""
_BENCHMARK_SECONDS = 0.15


def own_device() -> torch.device:
    """The GPU of this rank, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def capacity_bytes(device: torch.device) -> float:
    """Memory that this rank's models may take: of its GPU, or its part of the machine's."""
    if device.type == "cuda":
        return _USABLE_GPU_MEMORY * torch.cuda.get_device_properties(device).total_memory
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return machine / 2 / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def peak_flops(device: torch.device) -> float:
    """FLOP/s of a product of large matrices, in the precision of training: what a device can really reach.

    Takes a sixth of a second. A data sheet's peak is higher.
    """
    on_gpu = device.type == "cuda"
    dtype = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float32
    size = 8192 if on_gpu else 512
    a = torch.ones(size, size, device=device, dtype=dtype)
    out = torch.empty_like(a)
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 4 or time.perf_counter() - begin < _BENCHMARK_SECONDS:
        start = time.perf_counter()
        torch.mm(a, a, out=out)
        if on_gpu:
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(times[1:])


def memory_bytes(device: torch.device) -> int:
    """The most memory that this process has taken: of its GPU, or of the machine."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
