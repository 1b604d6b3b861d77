"""What runs is decided by device and wish; what was set is put back."""

import pytest
import torch

from tasks.contracts.errors import ConfigError
from tasks.tiles import precision
from tasks.tiles.precision import global_settings, prepared, resolve
from tests.tiles.model.small_models import batch, random_head, residual


def with_flags(monkeypatch, *flags):
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(("avx2", "avx512f"), "fp32"), (("avx512_bf16",), "bf16"), (("amx_bf16", "amx_tile"), "bf16"), ((), "fp32")],
)
def test_auto_on_a_cpu_is_bf16_only_where_the_cpu_has_it(monkeypatch, flags, expected):
    with_flags(monkeypatch, *flags)
    assert resolve("auto", "cpu") == expected
    assert resolve("auto", "cpu", no_amp=True) == "fp32"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_on_cuda_follows_the_compute_capability(monkeypatch, capability, expected):
    monkeypatch.setattr(precision, "cuda_capability", lambda device: capability)
    assert resolve("auto", "cuda:0") == expected


@pytest.mark.parametrize("wish", ["fp32", "bf16", "fp16"])
def test_a_wish_is_granted(monkeypatch, wish):
    with_flags(monkeypatch)
    assert resolve(wish, "cpu") == wish


@pytest.mark.parametrize("wish", ["bf16", "fp16"])
def test_a_wish_for_half_precision_contradicts_no_amp(wish):
    with pytest.raises(ConfigError, match=f"contradict each other: found {wish}"):
        resolve(wish, "cpu", no_amp=True)


def test_flags_are_those_of_the_first_processor(monkeypatch, tmp_path):
    listing = tmp_path / "cpuinfo"
    listing.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16\nbugs\t\t: none\nflags\t\t: other\n")
    monkeypatch.setattr(precision, "_CPUINFO", listing)
    assert precision.cpu_flags() == {"fpu", "avx512_bf16"}
    monkeypatch.setattr(precision, "_CPUINFO", tmp_path / "absent")
    assert precision.cpu_flags() == frozenset()


def test_backbone_and_head_are_cast_once_and_the_rest_stays_fp32():
    model = random_head()
    lowered = prepared(model, "bf16")
    kept = {name for name, value in lowered.state_dict().items() if value.dtype == torch.float32}
    assert kept == {name for name in model.state_dict() if name.startswith(("cond.", "head.detail."))}
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert lowered.cond.fc1.weight.data_ptr() == model.cond.fc1.weight.data_ptr()
    assert prepared(model, "fp32") is model


def test_half_precision_never_rounds_the_tile_itself():
    """A correction of exactly zero leaves values that bf16 could not hold."""
    lowered, given = prepared(random_head(scale=0.0), "bf16"), batch(32)
    assert torch.equal(residual(lowered, given), torch.zeros(1, 4, 32, 32))
    assert not torch.equal(given.tiles.bfloat16().float(), given.tiles)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bf16_stays_near_fp32(seed):
    model, given = random_head(seed=seed), batch(120, month=(1, 6))
    with torch.inference_mode():
        exact, rounded = model.refine(given), prepared(model, "bf16").refine(given)
    assert 0 < (exact - rounded).abs().max() <= 0.02


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bf16_of_a_small_correction_keeps_the_vegetation_index(seed):
    model, given = random_head(seed=seed), batch(120, month=(1, 6))
    factor = 0.02 / residual(model, given).square().mean().sqrt()
    with torch.no_grad():
        model.head.detail.conv2.weight *= factor
        exact, rounded = model.refine(given), prepared(model, "bf16").refine(given)
    assert residual(model, given).square().mean().sqrt() == pytest.approx(0.02, rel=1e-3)
    assert (exact - rounded).abs().max() <= 0.005
    index = [(one[:, 3] - one[:, 2]) / (one[:, 3] + one[:, 2] + 1e-8) for one in (exact, rounded)]
    assert (index[0] - index[1]).square().mean().sqrt() <= 0.01


@pytest.mark.parametrize(
    ("device", "flags", "expected"),
    [("cpu", ("avx512_bf16",), "medium"), ("cpu", ("amx_tile", "amx_bf16"), "highest"), ("cuda:0", (), "highest")],
)
def test_matrix_precision_is_medium_only_where_it_stays_exact(monkeypatch, device, flags, expected):
    with_flags(monkeypatch, *flags)
    with global_settings(device, threads=1) as chosen:
        assert chosen == expected == torch.get_float32_matmul_precision()
        assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("before", ["high", "highest"])
def test_settings_are_put_back_after_an_exception(monkeypatch, before):
    with_flags(monkeypatch)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    old, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_float32_matmul_precision(before)
    try:
        with pytest.raises(ZeroDivisionError), global_settings("cpu", threads=threads + 1):
            assert (torch.get_float32_matmul_precision(), torch.get_num_threads()) == ("medium", threads + 1)
            1 / 0  # noqa: B018
        assert torch.get_float32_matmul_precision() == before
        assert torch.backends.cudnn.allow_tf32
        assert torch.get_num_threads() == threads
    finally:
        torch.set_float32_matmul_precision(old)
