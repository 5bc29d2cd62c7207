"""Activations in LLVM's language: GELU (Hendrycks & Gimpel 2016), its tanh form, and ReLU."""

from __future__ import annotations

from math import log, pi, sqrt

from llvmlite import ir

from sbert_cluster.encoder.language import VECTOR, WORDS, Code, filled

_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_ERF_STEP = 0.3275911
"""Abramowitz & Stegun 1964, formula 7.1.26: erf to within 1.5e-7."""

_FARTHEST = 4.0
_ROUGH = (
    0.398246467, -0.0651581213, 0.00908924453, -0.000895091332,
    5.90269192e-05, -2.42841634e-06, 5.49908172e-08, -5.06159614e-10,
)  # fmt: skip
"""Φ(x) ≈ ½ + x Σ cₖ x²ᵏ up to 4 on either side, where it is 0 and 1: x Φ(x) to within 2e-4, a
tenth of what the rounding of a bfloat16 near 1 takes. Fitted by weighted least squares."""


def activated(code: Code, x: ir.Value, name: str, *, rough: bool) -> ir.Value:
    """Sixteen numbers through an activation.

    Args:
        code: Where to write.
        x: float32.
        name: ``gelu``, ``gelu_new``, ``relu``; anything else leaves x as it is.
        rough: Whether the result will be rounded to bfloat16.
    """
    if name == "relu":
        return code.larger(x, filled(VECTOR, 0.0))
    if name == "gelu":
        return _rough_gelu(code, x) if rough else _gelu(code, x)
    return _tanh_gelu(code, x) if name == "gelu_new" else x


def _rough_gelu(code: Code, x: ir.Value) -> ir.Value:
    b = code.builder
    near = code.smaller(code.larger(x, filled(VECTOR, -_FARTHEST)), filled(VECTOR, _FARTHEST))
    inner = _polynomial(code, b.fmul(near, near), _ROUGH)
    return b.fmul(x, code.fused(near, inner, filled(VECTOR, 0.5)))


def _gelu(code: Code, x: ir.Value) -> ir.Value:
    """X ½ (1 + erf(x / √2))."""
    b = code.builder
    z = b.fmul(x, filled(VECTOR, sqrt(0.5)))
    size = code.call("llvm.fabs.v16f32", VECTOR, z)
    one = filled(VECTOR, 1.0)
    t = b.fdiv(one, code.fused(size, filled(VECTOR, _ERF_STEP), one))
    rest = b.fmul(_polynomial(code, t, _ERF), t)
    power = code.power(b.fmul(b.fmul(z, z), filled(VECTOR, -1 / log(2))))
    erf = b.fsub(one, b.fmul(rest, power))
    sign = b.and_(b.bitcast(x, WORDS), filled(WORDS, 0x80000000))
    signed = b.bitcast(b.or_(b.bitcast(erf, WORDS), sign), VECTOR)
    half = b.fmul(x, filled(VECTOR, 0.5))
    return code.fused(half, signed, half)


def _tanh_gelu(code: Code, x: ir.Value) -> ir.Value:
    """X ½ (1 + tanh u) with u = √(2/π) (x + 0.044715 x³), which is x / (1 + e^(-2u))."""
    b = code.builder
    cubic = code.fused(b.fmul(x, x), filled(VECTOR, 0.044715), filled(VECTOR, 1.0))
    exponent = b.fmul(b.fmul(x, cubic), filled(VECTOR, -2 * sqrt(2 / pi) / log(2)))
    power = code.power(code.smaller(exponent, filled(VECTOR, 126.0)))
    return b.fdiv(x, b.fadd(power, filled(VECTOR, 1.0)))


def _polynomial(code: Code, x: ir.Value, coefficients: tuple[float, ...]) -> ir.Value:
    y = filled(VECTOR, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        y = code.fused(y, x, filled(VECTOR, coefficient))
    return y
