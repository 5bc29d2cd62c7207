"""Batches, windows, pooling and the choice of a device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sbert_cluster.encoder.batching import batches, windows
from sbert_cluster.encoder.device import choose_place
from sbert_cluster.encoder.pooling import pool
from sbert_cluster.errors import UsageError
from sbert_cluster.options import EncodeOptions, Precision

lengths = arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 300))


@given(lengths, st.integers(1, 1000))
def test_batches_are_a_partition_within_the_budget(lengths, budget):
    """Every text is in one batch, which fits the budget once padded or is a single text."""
    made = list(batches(lengths, budget))
    together = np.concatenate(made) if made else np.empty(0, np.int64)
    assert sorted(together.tolist()) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget


@given(lengths, st.integers(1, 1000))
def test_batches_go_from_long_to_short(lengths, budget):
    """Lengths fall from batch to batch, and batches are filled: one text more would not fit."""
    made = list(batches(lengths, budget))
    together = np.concatenate(made) if made else np.empty(0, np.int64)
    assert (np.diff(lengths[together]) <= 0).all()
    for batch in made[:-1]:
        assert (len(batch) + 1) * max(1, lengths[batch[0]]) > budget


@given(
    st.lists(st.text(alphabet="ab", max_size=30), max_size=40),
    st.integers(1, 10),
    st.integers(1, 50),
)
def test_windows_cover_everything_in_order(texts, count, characters):
    """Windows follow one another without gap, each within both limits or a single text."""
    cuts = list(windows(texts, count=count, characters=characters))
    assert [text for cut in cuts for text in texts[cut]] == texts
    for cut in cuts:
        size = cut.stop - cut.start
        assert 1 <= size <= count
        assert size == 1 or sum(map(len, texts[cut])) <= characters


def test_first_window_is_small_and_cut_texts_count_as_what_is_read():
    """The first batch waits for an eighth of a window only; of a long text its beginning counts."""
    cuts = list(windows(["text"] * 100, count=16))
    assert [cut.stop - cut.start for cut in cuts] == [2, 16, 16, 16, 16, 16, 16, 2]
    long = ["a" * 1000] * 20
    assert len(list(windows(long, characters=400))) == 20
    assert len(list(windows(long, characters=400, longest=40))) == 3


def _pooled(vectors, mode):
    if mode == "cls":
        return vectors[0]
    if mode == "max":
        return vectors.max(0)
    total = sum(vectors)
    return total / (len(vectors) if mode == "mean" else np.sqrt(len(vectors)))


modes = st.lists(st.sampled_from(["cls", "max", "mean", "mean_sqrt_len"]), min_size=1, max_size=4)


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    modes,
    st.integers(0, 4),
)
def test_pool_is_the_loop(seed, counts, modes, skipped):
    """Pooling equals a loop over texts and tokens; padding and the prompt take no part."""
    counts = [count + skipped for count in counts]
    hidden = np.random.default_rng(seed).normal(size=(len(counts), max(counts), 5))
    hidden = hidden.astype(np.float32)
    mask = np.arange(max(counts)) < np.array(counts)[:, None]
    # What stands in the padding must not matter, however large.
    hidden[~mask] = 1e6
    got = pool(torch.tensor(hidden), torch.tensor(mask).long(), tuple(modes), skipped)
    wanted = [
        np.concatenate([_pooled(row[skipped:count], mode) for mode in modes])
        for row, count in zip(hidden, counts, strict=True)
    ]
    np.testing.assert_allclose(got.numpy(), wanted, atol=1e-5)


def test_pool_of_half_precision_is_float32():
    """Sums are taken in float32: 4,096 ones in bf16 have a mean of exactly 1."""
    ones = torch.ones(1, 4096, 2, dtype=torch.bfloat16)
    got = pool(ones, torch.ones(1, 4096, dtype=torch.long), ("mean", "mean_sqrt_len"))
    assert got.dtype == torch.float32
    assert got.tolist() == [[1, 1, 64, 64]]


def test_pool_refuses_what_does_not_fit():
    """A mask of another shape and an unknown mode are told."""
    hidden = torch.zeros(2, 3, 4)
    with pytest.raises(ValueError, match=r"mask \(2, 4\) does not fit hidden \(2, 3, 4\)"):
        pool(hidden, torch.ones(2, 4), ("mean",))
    with pytest.raises(ValueError, match="'median'"):
        pool(hidden, torch.ones(2, 3), ("median",))


no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")


@no_gpu
@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_absent_gpu_is_refused(device):
    """A GPU that is asked for and absent is an error, not a silent CPU run."""
    with pytest.raises(UsageError, match=device) as caught:
        choose_place(device, Precision.AUTO)
    assert "--device cpu" in caught.value.remedy


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_gpu_index_beyond_the_last_is_refused():
    """A GPU number that does not exist is an error that says how many there are."""
    with pytest.raises(UsageError, match=f"only {torch.cuda.device_count()}"):
        choose_place("cuda:99", Precision.AUTO)
    assert choose_place("cuda", Precision.AUTO).device == "cuda:0"


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="needs a machine without Apple GPU")
def test_absent_apple_gpu_is_refused():
    """An Apple GPU that is asked for and absent is an error."""
    with pytest.raises(UsageError, match="mps"):
        choose_place("mps", Precision.AUTO)


@no_gpu
def test_auto_is_fp32_on_the_cpu():
    """Without a GPU the CPU is chosen, in fp32, and both are explained."""
    place = choose_place("auto", Precision.AUTO)
    if not torch.backends.mps.is_available():
        assert place.device == "cpu"
    assert place.precision is Precision.FP32
    assert "fp32" in place.why


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16, Precision.FP16])
def test_precision_is_as_asked(precision):
    """A number format that is asked for is used."""
    place = choose_place("cpu", precision)
    assert (place.device, place.precision) == ("cpu", precision)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "", "mps:1"])
def test_bad_device_string_is_refused(device):
    """A string that names no device is refused before anything is loaded."""
    with pytest.raises(UsageError, match="is not a device"):
        EncodeOptions(device=device)
