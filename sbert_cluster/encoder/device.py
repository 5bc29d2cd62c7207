"""Where the forward pass runs and in which number format, chosen and said."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
        chosen, reason = _choose_precision(resolved)
        return Place(resolved, chosen, f"{why}; {reason}")
    if precision is Precision.INT8 and not (resolved == "cpu" and _has_int8_products()):
        raise UsageError(
            f"--precision int8 does not run on {resolved} with this build of torch",
            "Use auto, bf16 or fp32.",
        )
    return Place(resolved, precision, f"{why}; {precision} as asked")


def choose_places(device: str, precision: Precision) -> tuple[Place, ...]:
    """Like :func:`choose_place`, but ``cuda`` and ``auto`` take every NVIDIA GPU there is.

    Raises:
        UsageError: As :func:`choose_place` does.
    """
    import torch

    first = choose_place(device, precision)
    if device not in (Device.AUTO, Device.CUDA) or not first.device.startswith("cuda"):
        return (first,)
    return tuple(
        replace(first, device=f"cuda:{index}") for index in range(torch.cuda.device_count())
    )


def has_bf16_products() -> bool:
    """Whether the CPU multiplies bf16 in hardware; elsewhere it is a hundred times slower."""
    import torch

    found = torch.cpu.get_capabilities()
    return any(bool(found.get(name)) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def _has_int8_products() -> bool:
    from sbert_cluster.encoder.products.operators import Int8Product

    return Int8Product.is_available()


def _choose_precision(device: str) -> tuple[Precision, str]:
    """The fastest number format whose similarities stay within 5e-4 of fp32's, and why.

    That is fp32 itself so far: of the pairs of Quora questions above 0.75, bf16 moves one in three
    by more than 5e-4, and some by 3e-3. Whoever can live with that asks for it.
    """
    exact = "fp32 stays within 1e-5 of the reference"
    if device == "cpu" and has_bf16_products():
        return Precision.FP32, f"{exact}; bf16 is faster here, and moves similarities by 0.003"
    return Precision.FP32, exact


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
    """The torch type of the values between two products."""
    import torch

    if precision is Precision.INT8:
        # Only the products are of integers; what lies between them is as fast as it can be.
        return torch.bfloat16 if has_bf16_products() else torch.float32
    return {
        Precision.FP32: torch.float32,
        Precision.BF16: torch.bfloat16,
        Precision.FP16: torch.float16,
    }[precision]
