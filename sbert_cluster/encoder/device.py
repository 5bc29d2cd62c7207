"""Where the forward pass runs and in which number format, chosen and said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_cluster.errors import UsageError
from sbert_cluster.options import Device, Precision

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Place:
    """A device and a number format, with the reason for both."""

    device: str
    """``cpu``, ``cuda:N`` or ``mps``."""
    precision: Precision
    """Never ``auto``."""
    why: str
    """One sentence for people."""


def choose_place(device: str, precision: Precision) -> Place:
    """Resolve ``auto`` and check that what was asked for is there.

    Raises:
        UsageError: If the device is absent, or cannot run the number format.
    """
    resolved, why = _choose_device(device)
    if precision is Precision.AUTO:
        return Place(resolved, Precision.FP32, f"{why}; fp32 gives the reference vectors")
    if precision is Precision.INT8:
        raise UsageError(
            "--precision int8 is not supported by this version", "Use fp32, bf16 or fp16."
        )
    return Place(resolved, precision, f"{why}; {precision} as asked")


def _choose_device(device: str) -> tuple[str, str]:
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == Device.AUTO:
        if cuda:
            return "cuda:0", f"NVIDIA GPU found ({torch.cuda.get_device_name(0)})"
        return ("mps", "Apple GPU found") if mps else ("cpu", "no GPU found")
    if device.startswith("cuda"):
        return _cuda_device(device, cuda), "asked for"
    if device == Device.MPS and not mps:
        raise UsageError("--device mps: no Apple GPU is available", "Use --device cpu or auto.")
    return device, "asked for"


def _cuda_device(device: str, available: bool) -> str:
    import torch

    if not available:
        raise UsageError(
            f"--device {device}: no NVIDIA GPU is available to torch {torch.__version__}",
            "Use --device cpu or auto, or install a CUDA build of torch.",
        )
    index = int(device.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise UsageError(
            f"--device {device}: only {torch.cuda.device_count()} NVIDIA GPU(s) here",
            "Count from 0, as in cuda:0.",
        )
    return f"cuda:{index}"


def torch_dtype(precision: Precision) -> torch.dtype:
    """The torch type of a float format."""
    import torch

    return {
        Precision.FP32: torch.float32,
        Precision.BF16: torch.bfloat16,
        Precision.FP16: torch.float16,
    }[precision]
