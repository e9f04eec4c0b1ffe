import pytest

from reid.timing.machine import int8_saturates


@pytest.mark.parametrize(
    ("flags", "saturates"),
    [
        ({"sse2", "ssse3", "avx", "avx2", "fma"}, True),
        ({"sse2", "ssse3", "avx2", "avx512f", "avx512bw"}, True),
        ({"ssse3", "avx2", "avx_vnni"}, False),
        ({"ssse3", "avx512f", "avx512_vnni"}, False),
        ({"fp", "asimd"}, False),
        ({"fp", "asimd", "asimddp"}, False),
    ],
)
def test_only_x86_without_dot_products_saturates(flags: set[str], saturates: bool) -> None:
    assert int8_saturates(flags) is saturates
