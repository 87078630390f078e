"""dot in C: the bits of the plain integers, for any operand, processor, thread count and stride."""

import ctypes
import itertools
import os
import platform
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.exact import helpers
from worker import exact
from worker.exact import backends, gpu, native
from worker.exact import reference as ref
from worker.exact.native import build

pytestmark = pytest.mark.skipif(not backends.compiles(), reason="this host has no C compiler")

LENGTHS = (0, 1, 2, 3, 15, 16, 31, 32, 33, 64, 65, 127, 300, 1025)


def operand(rng, rows, k):
    """Rows of one flavour; some stored with k outermost."""
    x = torch.randn(rows, k)
    flavour = rng.randrange(8)
    if flavour == 1:
        x *= 1e-30
    elif flavour == 2:
        x *= 1e38  # some overflow
    elif flavour == 3:
        x = torch.full((rows, k), rng.choice([1 - 2.0**-24, -1 + 2.0**-24]))  # all at the clamp
    elif flavour == 4:
        x *= torch.exp(torch.randn(rows, 1) * 25)
        x[rng.randrange(rows)] = 0
        if k:
            x[rng.randrange(rows), rng.randrange(k)] = rng.choice(
                [torch.inf, -torch.inf, torch.nan]
            )
    elif flavour == 5:
        x = torch.randint(-(1 << 23), 1 << 23, (rows, k), dtype=torch.int32).abs_()
        x = x.view(torch.float32)  # subnormal
    elif flavour == 6:
        x *= torch.exp(torch.randn(rows, k) * 10)
    elif flavour == 7:
        x = -torch.relu(x)
    return x.t().contiguous().t() if rng.random() < 0.5 else x


def same(got, expected):
    """Equal bits, NaNs included: both are canonical."""
    got, expected = got.contiguous(), expected.contiguous()
    return torch.equal(got.view(torch.int32), expected.view(torch.int32))


def follow(seed, cases, made=None):
    """Random products, compared with the backend of plain integers."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    for _ in range(cases):
        m, n = (rng.choice([1, 2, 3, 7, 8, 15, 16, 17, 33, 50, 70]) for _ in range(2))
        k, bits = rng.choice(LENGTHS), rng.choice([2, 5, 8, 14, 14, 14, 15, 17, 20, 20])
        a, b = operand(rng, m, k), operand(rng, n, k)
        got = native.dot(a, b, bits, made=made)
        assert same(got, exact.dot(a, b, bits=bits, backend="integer")), (m, n, k, bits)


def test_random_products_equal_the_integers():
    """Protects every result: sizes with tails, both layouts, all kinds of rows, several bits."""
    follow(0, 150)


def variants():
    """Flags for each kind of processor whose code this one runs."""
    found = {"portable": ("-DASSAY_PORTABLE",)}
    if platform.machine() in ("x86_64", "AMD64") and backends.compiles():
        known = build.compiler().identity
        found["sse2"] = ("-march=x86-64",)
        if "__AVX2__" in known:
            found["avx2"] = ("-march=haswell",)
            found["avx2, sums"] = ("-march=haswell", "-DASSAY_SUMS=1")  # as AMD's older ones
            found["avx2, sevens"] = ("-march=haswell", "-DASSAY_ALWAYS_SEVENS=1")
            found["avx2, cut"] = ("-march=haswell", "-DASSAY_DOUBLES=0")  # as Zen 3
            found["avx2, cut sums"] = (*found["avx2, cut"], "-DASSAY_SUMS=1")
        if "__AVX512BW__" in known:
            found["avx512"] = ("-march=skylake-avx512",)
        if "__AVX512VNNI__" in known:
            found["vnni"] = ("-march=cascadelake",)  # which cannot permute bytes
            found["sums"] = ("-march=cascadelake", "-DASSAY_SUMS=1")  # as AMD's newer ones
    return found


@pytest.mark.parametrize("name", variants())
def test_other_processors_give_the_same_bits(name):
    """Protects solvers with older processors: each has innermost loops of its own."""
    flags = variants()[name]
    follow(1, 60, native.declare(build.library(native.SOURCES, flags=flags, native=False)))


def test_long_rows_at_their_greatest():
    """Protects the accumulators: no run of products may overflow, whatever its signs, and what
    several runs add up to must not be rounded before the end."""
    generator = torch.Generator().manual_seed(5)
    for k in (480, 481, 484, 512, 1025, 4095, 4096):
        row = torch.full((k,), 1 - 2.0**-24)
        signs = torch.randint(0, 2, (k,), generator=generator) * 2.0 - 1
        halves = torch.where(torch.arange(k) < k // 2, row, -row)
        late = torch.where(torch.arange(k) < k - 40, 0.0, row)  # short runs would be needed late
        # 128 products of 0.55 at 14 bits are between 2^31 and 2^31.5, the least that overflow
        near = torch.full((k,), 0.55)
        # and 256 or 384 of these: runs are also made of two or three that are known to fit
        nears = [torch.full((k,), 0.55 * n**-0.5) for n in (2, 3)]
        nears = [torch.where(torch.arange(k) == k - 1, 0.75, x) for x in nears]
        fourth = torch.where(torch.arange(k) % 4 == 1, near, 0.0)
        normal = torch.randn(k, generator=generator)
        parts = torch.full((k,), 524159 / 524288)  # at 20 bits 256 * 2047 + 127: the greatest parts
        a = torch.stack([row, -row, row * signs, halves, late, near, fourth, normal, parts, -parts])
        a = torch.cat([a, torch.stack(nears)])
        for bits in (8, 13, 14, 15, 20):
            expected = exact.dot(a, a, bits=bits, backend="integer")
            assert same(native.dot(a, a, bits), expected)
            for i in range(len(a)):  # alone, so that no other row of the panel forbids long runs
                alone = a[i].expand(17, k)
                assert same(native.dot(alone, alone, bits), expected[i, i].expand(17, 17))
                assert same(native.dot(a, alone, bits), expected[:, i : i + 1].expand(len(a), 17))


def test_products_large_enough_for_strassens_scheme():
    """Protects large products: sums of rows' integers, at their greatest too, stay below 2^53, and
    what is no multiple of 32 rows or 4 elements is as exact; a longer row is taken without it."""
    torch.manual_seed(8)
    for m, n, k in ((96, 128, 96), (127, 160, 97), (190, 96, 259), (250, 381, 258), (96, 96, 5464)):
        signs = torch.randint(0, 2, (m, k)) * 2.0 - 1
        most = torch.full((n, k), 1 - 2.0**-24)
        mixed = torch.where(torch.arange(n).unsqueeze(1) // 16 % 2 == 0, most, -most)
        mixed[5, 7], mixed[40, 0], mixed[90] = torch.nan, torch.inf, 0.0
        pairs = [(torch.randn(m, k), torch.randn(k, n).mT), (signs, most), (most, mixed)]
        for (a, b), bits in itertools.product(pairs, (15, 20)):
            expected = exact.dot(a, b, bits=bits, backend="integer")
            assert same(native.dot(a, b, bits), expected), (m, n, k, bits)


def test_small_products_equal_the_reference():
    """Protects against an error that all torch backends share: here the definition itself."""
    rng = random.Random(9)
    special = [0, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x3F7FFFFF, 0xBF800000, 0x7F7FFFFF]
    for bits in (2, 8, 14, 20):
        a = [[rng.choice(special) for _ in range(19)] for _ in range(5)]
        b = [[rng.getrandbits(32) & 0xFEFFFFFF for _ in range(19)] for _ in range(18)]
        got = native.dot(helpers.tensor(a), helpers.tensor(b), bits)
        assert helpers.patterns(got).tolist() == [[ref.dot(x, y, bits) for y in b] for x in a]


def test_batches_views_and_threads_do_not_matter():
    """Protects the cutting into tasks: each way of it, shared operands, any number of threads."""
    torch.manual_seed(3)
    base = torch.randn(9, 40, 50)
    cases = [
        (base, torch.randn(9, 70, 50)),
        (base, torch.randn(70, 50)),
        (base[:1].expand(9, 40, 50), torch.randn(9, 70, 50)),
        (base[:, :, ::2], torch.randn(9, 33, 25)),
        (base.transpose(1, 2), torch.randn(9, 33, 40)),
        (base[0].expand(9, 40, 50), base[1].expand(9, 40, 50)),
        *((torch.randn(m, 500), torch.randn(900, 500)) for m in range(1, 10)),
        (torch.randn(900, 500), torch.randn(3, 500)),
        (base[2, 3].expand(6, 50), base[2]),
    ]
    threads = torch.get_num_threads()
    try:
        for (a, b), bits in itertools.product(cases, (14, 20)):
            expected = exact.dot(a, b, bits=bits, backend="integer")
            for count in (1, 2, 3, 40):
                torch.set_num_threads(count)
                assert same(native.dot(a, b, bits), expected), (a.shape, b.shape, count, bits)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 2, 0), (2, 1, 0)])
def test_results_are_written_in_any_layout(order):
    """Protects results that land inside another tensor: nothing else there is touched."""
    torch.manual_seed(4)
    a, b = torch.randn(3, 37, 64), torch.randn(3, 50, 64)
    shape = [3, 37, 50]
    around = torch.full([shape[i] + 2 for i in order], 7.0)
    inside = around[1:-1, 1:-1, 1:-1]
    out = inside.permute([order.index(i) for i in range(3)])
    rows = [native.Rows(t.data_ptr(), t.stride(0), t.stride(1), t.stride(2)) for t in (a, b)]
    sizes, strides = (ctypes.c_int64 * 4)(3, 37, 50, 64), (ctypes.c_int64 * 3)(*out.stride())
    library = native.declare(build.library(native.SOURCES))
    assert library.assay_dot_alone(*rows, out.data_ptr(), sizes, strides, 14) == 0
    assert same(out, exact.dot(a, b, backend="integer"))
    inside.fill_(7.0)
    assert bool((around == 7.0).all())


LOADERS = """
#include <stdlib.h>
#include "dot.h"

typedef struct { const float *image; int64_t width; } patches;

/* Row r of a batch is the 3 x 3 patch at position r of an image. */
static void patch(const void *context, int64_t batch, int64_t row0, int64_t rows, int64_t k0,
                  int64_t ks, float *dst, int64_t ld) {
    const patches *p = context;
    const int64_t w = p->width, out = w - 2;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < ks; k++) {
            int64_t y = (row0 + r) / out + (k0 + k) / 3, x = (row0 + r) % out + (k0 + k) % 3;
            dst[r * ld + k] = p->image[batch * w * w + y * w + x];
        }
}

static void patch_k_major(const void *context, int64_t batch, int64_t row0, int64_t rows,
                          int64_t k0, int64_t ks, float *dst, int64_t ld) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < ks; k++)
            patch(context, batch, row0 + r, 1, k0 + k, 1, dst + k * ld + r, 1);
}

void assay_test_patches(const float *image, const float *weight, float *c, int64_t batch,
                        int64_t width, int64_t n, int k_major, int bits) {
    int64_t m = (width - 2) * (width - 2);
    patches p = {image, width};
    assay_rows a = {.load = k_major ? patch_k_major : patch, .context = &p, .k_major = k_major};
    assay_rows b = {.data = weight, .row_stride = 9, .k_stride = 1};
    void *scratch = aligned_alloc(64, assay_dot_scratch(&a, &b, batch, m, n, 9, bits));
    assay_dot(&a, &b, c, batch, m, n, 9, m * n, 1, m, bits, scratch);
    free(scratch);
}
"""


@pytest.mark.parametrize("k_major", [0, 1])
@pytest.mark.parametrize("bits", [14, 20])
@pytest.mark.parametrize("batch", [1, 7])
def test_rows_from_a_loader(k_major, bits, batch):
    """Protects convolutions, whose patches are never stored."""
    torch.manual_seed(6)
    images, weight = torch.randn(batch, 12, 12), torch.randn(20, 9)
    out = torch.empty(batch, 20, 100)
    library = native.load(LOADERS)
    pointers = (ctypes.c_void_p(t.data_ptr()) for t in (images, weight, out))
    sizes = (ctypes.c_int64(i) for i in (batch, 12, 20))
    library.assay_test_patches(*pointers, *sizes, k_major, bits)
    unfolded = torch.nn.functional.unfold(images.unsqueeze(1), 3).mT
    expected = exact.dot(unfolded, weight, bits=bits, backend="integer")
    assert same(out, expected.mT.contiguous())


def test_calls_from_many_threads_and_from_a_forked_child():
    """Protects daemons, where roles compute side by side: the pool serves one and none waits; a
    child has no threads but its own."""
    torch.manual_seed(7)
    a, b = torch.randn(300, 200), torch.randn(400, 200)
    expected = exact.dot(a, b, backend="integer")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: native.dot(a, b, 14), range(40)))
    assert all(same(got, expected) for got in found)
    if not hasattr(os, "fork"):
        return
    child = os.fork()
    if child == 0:
        native.set_threads(3)
        got = native.dot(a, b, 14)  # torch's own threads do not survive a fork: compare without
        os._exit(0 if got.numpy().tobytes() == expected.numpy().tobytes() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert same(native.dot(a, b, 14), expected)


def test_the_callers_processor_state_does_not_matter():
    """Protects results among the subnormals from a thread that flushes them; its state is kept."""
    a = torch.full((40, 8), 2.0**-70)
    b = torch.full((64, 8), 2.0**-75)
    low = torch.full((3, 8), 2.0**-100)
    tiny = torch.full((4, 4), 2.0**-126)
    pairs = [(a, b), (low, b * 2.0**45), (b * 2.0**45, low)]
    expected = [exact.dot(*pair, backend="integer") for pair in pairs]
    assert all(0 < float(e[0, 0]) < 2.0**-126 for e in expected)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        got = [native.dot(*pair, 14) for pair in pairs]
        still = bool((tiny * 0.5 == 0).all())
    finally:
        torch.set_flush_denormal(False)
    assert still
    assert all(same(g, e) for g, e in zip(got, expected, strict=True))


def test_what_it_cannot_compute_is_refused():
    """Protects users: an error instead of another result, and another backend by default."""
    x = torch.ones(1, native.LONGEST_ROW + 1)
    with pytest.raises(ValueError, match="bits=21"):
        native.dot(x[:, :3], x[:, :3], 21)
    with pytest.raises(ValueError, match="sums below"):
        native.dot(x[:, : 1 << 15], x[:, : 1 << 15], 20)
    with pytest.raises(ValueError, match="K up to"):
        native.dot(x, x, 8)
    with pytest.raises(TypeError, match="float64"):
        native.dot(x.double(), x, 8)
    assert "native" not in backends.candidates(torch.device("cpu"), x.shape[1], 8)
    assert exact.dot(x, x, bits=8).item() == x.shape[1]
    assert exact.dot(x[:, :3], x[:, :3], bits=24).item() == 3


@pytest.fixture
def fresh_compiler():
    """Forgets what was found out about the compiler, before and after."""
    kept = (build.compiler, native._library, backends.compiles, backends.passes, backends._fastest)
    for function in kept:
        function.cache_clear()
    yield
    for function in kept:
        function.cache_clear()


def test_a_host_without_a_compiler_computes_with_torch(monkeypatch, caplog, fresh_compiler):
    """Protects hosts that cannot compile: they are told once how to be faster, and go on."""
    monkeypatch.setenv("CC", "/nowhere/cc")
    with pytest.raises(build.NoCompiler, match=r"/nowhere/cc: not found.*apt install gcc"):
        build.compiler()
    with caplog.at_level("INFO"):
        for _ in range(2):
            assert "native" not in backends.candidates(torch.device("cpu"), 64, 14)
    assert caplog.text.count("left out") == 1
    assert exact.dot(torch.ones(2, 3), torch.ones(2, 3)).tolist() == [[3.0] * 2] * 2
    with pytest.raises(exact.NoBackend):
        exact.dot(torch.ones(2, 3), torch.ones(2, 3), backend="native")


def test_a_library_is_made_once_and_whole(monkeypatch, tmp_path):
    """Protects against half a file: processes that race all load the same finished library."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    texts = [f"int assay_number(void) {{ return {i}; }}" for i in (1, 2)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda i: build.library([texts[i % 2]]).assay_number(), range(8)))
    assert made == [1, 2] * 4
    files = sorted(path.name for path in tmp_path.iterdir())
    assert sorted(name[-2:] for name in files) == [".o", ".o", "so", "so"]
    monkeypatch.setattr(build, "_run", lambda *_: pytest.fail("made again"))
    assert build.library([texts[0]]).assay_number() == 1


def test_a_wrong_source_is_told_apart_from_a_missing_compiler(monkeypatch, tmp_path):
    """Protects whoever generates C: the compiler's own words reach them."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    with pytest.raises(build.CompileError, match="unknown_name"):
        build.library(["int assay_number(void) { return unknown_name; }"])
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_fails_costs_speed_alone(monkeypatch, caplog, fresh_compiler, tmp_path):
    """Protects hosts whose compiler knows the flags but not the code: results come from torch."""
    broken = tmp_path / "cc"
    broken.write_text('#!/bin/sh\ncase "$*" in *" -c "*) echo no intrinsic >&2; exit 1;; esac\n')
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    assert "native" not in backends.candidates(torch.device("cpu"), 64, 14)
    assert "no intrinsic" in caplog.text
    assert exact.dot(torch.ones(2, 3), torch.ones(2, 3)).tolist() == [[3.0] * 2] * 2


def test_a_gpu_without_triton_is_told_once(monkeypatch, caplog):
    """Protects logs: one line, however many kinds of rows a program multiplies."""
    monkeypatch.setitem(sys.modules, "worker.exact.gpu.product", None)  # its import fails,
    monkeypatch.delattr(gpu, "product", raising=False)  # and is not found where it was done
    backends.has_triton.cache_clear()
    try:
        with caplog.at_level("WARNING"):
            assert not any(backends.gpu_supports(k, 14) for k in (8, 64, 500))
    finally:
        backends.has_triton.cache_clear()
    assert caplog.text.count("slower without Triton") == 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux moves its threads")
def test_threads_may_use_all_the_processors_that_the_process_may():
    """Protects hosts from threads that leave their caller's processor and stay shut out of it."""
    a, b = torch.randn(300, 200), torch.randn(400, 200)
    for _ in range(20):  # long enough apart that threads sleep, and are woken where they slept
        native.dot(a, b, 14)
        exact.dot(a, b, bits=14, backend="integer")
    allowed = os.sched_getaffinity(0)
    assert all(os.sched_getaffinity(int(task)) == allowed for task in os.listdir("/proc/self/task"))
