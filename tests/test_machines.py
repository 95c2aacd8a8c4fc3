"""Which machine of Vertex AI does what a step asks for."""

from __future__ import annotations

import pytest

from nbvertex import machines
from nbvertex.machines import Machine, NoMachine

T4, L4, A100, A100_80, H100 = (
    "NVIDIA_TESLA_T4", "NVIDIA_L4", "NVIDIA_TESLA_A100", "NVIDIA_A100_80GB", "NVIDIA_H100_80GB",
)  # fmt: skip

FOUND = [
    ((None, None, None, None, 0), Machine("e2-standard-4")),
    ((None, 4, 16, None, 0), Machine("e2-standard-4")),
    ((None, 2, None, None, 0), Machine("e2-highmem-2")),
    ((None, 8, 100, None, 0), Machine("e2-highmem-16")),
    ((None, 90, None, None, 0), Machine("n1-standard-96")),
    ((None, None, 900, None, 0), Machine("m1-ultramem-40")),
    ((None, None, None, T4, 1), Machine("n1-highmem-2", T4, 1)),
    ((None, 30, None, T4, 2), Machine("n1-standard-32", T4, 2)),
    ((None, None, None, L4, 1), Machine("g2-standard-4", L4, 1)),
    ((None, None, None, L4, 4), Machine("g2-standard-48", L4, 4)),
    ((None, None, None, A100, 2), Machine("a2-highgpu-2g", A100, 2)),
    ((None, None, None, A100_80, 1), Machine("a2-ultragpu-1g", A100_80, 1)),
    ((None, None, None, H100, 8), Machine("a3-highgpu-8g", H100, 8)),
    (("n1-standard-8", None, None, T4, 1), Machine("n1-standard-8", T4, 1)),
    (("a2-highgpu-1g", None, None, None, 0), Machine("a2-highgpu-1g", A100, 1)),
    (("g2-standard-24", 8, 64, None, 0), Machine("g2-standard-24", L4, 2)),
    (("c2-standard-60", None, None, None, 0), Machine("c2-standard-60")),
]
REFUSED = [
    (("n1-standard-5", None, None, None, 0), "is no machine"),
    (("e1-standard-4", None, None, None, 0), "is no machine"),
    (("n1-standard-4", 8, None, None, 0), "less than"),
    (("e2-standard-4", None, None, T4, 1), "does not go with"),
    (("n1-standard-96", None, None, T4, 1), "does not go with"),
    (("a2-highgpu-1g", None, None, T4, 1), "but has 1 x NVIDIA_TESLA_A100"),
    ((None, None, None, T4, 3), "more than any machine"),
    ((None, 10_000, None, None, 0), "more than any machine"),
    ((None, None, None, H100, 16), "more than any machine"),
]


@pytest.mark.parametrize("asked, found", FOUND)
def test_the_smallest_that_will_do(
    asked: tuple[str | None, float | None, float | None, str | None, int], found: Machine
) -> None:
    """With at least what is asked for, and just these GPUs."""
    assert machines.choose(*asked) == found


@pytest.mark.parametrize("asked, why", REFUSED)
def test_what_there_is_not(
    asked: tuple[str | None, float | None, float | None, str | None, int], why: str
) -> None:
    """The reason is said."""
    with pytest.raises(NoMachine, match=why):
        machines.choose(*asked)


@pytest.mark.parametrize(
    "text, name",
    [("t4", T4), ("nvidia-tesla-t4", T4), ("NVIDIA_L4", L4), ("nvidia-a100-80gb", A100_80), ("amd", None)],
)
def test_names_of_gpus(text: str, name: str | None) -> None:
    """As users and as the service write them."""
    assert machines.gpu_type(text) == name


@pytest.mark.parametrize("text, cpus", [("4", 4), ("500m", 0.5), ("0.5", 0.5)])
def test_processors(text: str, cpus: float) -> None:
    """Whole ones and thousandths."""
    assert machines.cpus(text) == cpus


@pytest.mark.parametrize(
    "text, size", [("16G", 16), ("16GB", 16), ("1Ti", 1099.511627776), ("512Mi", 0.536870912)]
)
def test_memory(text: str, size: float) -> None:
    """In gigabytes."""
    assert machines.gigabytes(text) == size
