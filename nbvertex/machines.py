"""The machines that Vertex AI has for custom jobs: what is in each, which GPUs go with it, and the smallest that will do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SMALLEST = "e2-standard-4"  # where a step says nothing
GPUS: Mapping[str, str] = MappingProxyType({
    "t4": "NVIDIA_TESLA_T4", "p4": "NVIDIA_TESLA_P4", "p100": "NVIDIA_TESLA_P100", "v100": "NVIDIA_TESLA_V100",
    "a100": "NVIDIA_TESLA_A100", "a100-40gb": "NVIDIA_TESLA_A100", "a100-80gb": "NVIDIA_A100_80GB", "l4": "NVIDIA_L4",
    "h100": "NVIDIA_H100_80GB", "h100-80gb": "NVIDIA_H100_80GB", "h100-mega-80gb": "NVIDIA_H100_MEGA_80GB",
    "h200": "NVIDIA_H200_141GB", "h200-141gb": "NVIDIA_H200_141GB", "b200": "NVIDIA_B200",
})  # fmt: skip
"""What users call a type of GPU, without ``nvidia-`` and ``tesla-`` -> what the service calls it."""

# Families whose machines have any number of processors of these, and so many GB of memory for each.
_RATIOS = {
    "e2-standard": 4, "e2-highmem": 8, "e2-highcpu": 1, "n1-standard": 3.75, "n1-highmem": 6.5, "n1-highcpu": 0.9,
    "n2-standard": 4, "n2-highmem": 8, "n2-highcpu": 1, "n2d-standard": 4, "n2d-highmem": 8, "n2d-highcpu": 1,
    "c2-standard": 4, "c2d-standard": 4, "c2d-highmem": 8, "c2d-highcpu": 2, "c3-standard": 4, "c3-highmem": 8,
    "c3-highcpu": 2, "m1-ultramem": 24, "m1-megamem": 14.9, "g2-standard": 4,
}  # fmt: skip
_COUNTS = {
    "e2-standard": (4, 8, 16, 32), "e2-highmem": (2, 4, 8, 16), "e2-highcpu": (16, 32),
    "n1-standard": (4, 8, 16, 32, 64, 96), "n1-highmem": (2, 4, 8, 16, 32, 64, 96), "n1-highcpu": (16, 32, 64, 96),
    "n2-standard": (4, 8, 16, 32, 48, 64, 80, 96, 128), "n2-highmem": (2, 4, 8, 16, 32, 48, 64, 80, 96, 128),
    "n2-highcpu": (16, 32, 48, 64, 80, 96), "n2d-standard": (4, 8, 16, 32, 48, 64, 80, 96, 128, 224),
    "n2d-highmem": (2, 4, 8, 16, 32, 48, 64, 80, 96), "n2d-highcpu": (16, 32, 48, 64, 80, 96, 128, 224),
    "c2-standard": (4, 8, 16, 30, 60), "c2d-standard": (2, 4, 8, 16, 32, 56, 112), "c2d-highmem": (2, 4, 8, 16, 32, 56, 112),
    "c2d-highcpu": (2, 4, 8, 16, 32, 56, 112), "c3-standard": (4, 8, 22, 44, 88, 176), "c3-highmem": (4, 8, 22, 44, 88, 176),
    "c3-highcpu": (4, 8, 22, 44, 88, 176), "m1-ultramem": (40, 80, 160), "m1-megamem": (96,),
    "g2-standard": (4, 8, 12, 16, 24, 32, 48, 96),
}  # fmt: skip
# Machines that come with their GPUs: processors, GB, type, how many.
_WITH_GPUS = {
    "a2-highgpu-1g": (12, 85, "NVIDIA_TESLA_A100", 1), "a2-highgpu-2g": (24, 170, "NVIDIA_TESLA_A100", 2),
    "a2-highgpu-4g": (48, 340, "NVIDIA_TESLA_A100", 4), "a2-highgpu-8g": (96, 680, "NVIDIA_TESLA_A100", 8),
    "a2-megagpu-16g": (96, 1360, "NVIDIA_TESLA_A100", 16), "a2-ultragpu-1g": (12, 170, "NVIDIA_A100_80GB", 1),
    "a2-ultragpu-2g": (24, 340, "NVIDIA_A100_80GB", 2), "a2-ultragpu-4g": (48, 680, "NVIDIA_A100_80GB", 4),
    "a2-ultragpu-8g": (96, 1360, "NVIDIA_A100_80GB", 8), "a3-highgpu-1g": (26, 234, "NVIDIA_H100_80GB", 1),
    "a3-highgpu-2g": (52, 468, "NVIDIA_H100_80GB", 2), "a3-highgpu-4g": (104, 936, "NVIDIA_H100_80GB", 4),
    "a3-highgpu-8g": (208, 1872, "NVIDIA_H100_80GB", 8), "a3-megagpu-8g": (208, 1872, "NVIDIA_H100_MEGA_80GB", 8),
    "a3-ultragpu-8g": (224, 2952, "NVIDIA_H200_141GB", 8), "a4-highgpu-8g": (224, 3968, "NVIDIA_B200", 8),
}  # fmt: skip
_L4 = {4: 1, 8: 1, 12: 1, 16: 1, 24: 2, 32: 1, 48: 4, 96: 8}  # processors of a g2 -> its L4s
_ON_N1 = {  # how many of a type an n1 may have, and with how many processors at most
    "NVIDIA_TESLA_T4": {1: 24, 2: 48, 4: 96}, "NVIDIA_TESLA_P4": {1: 24, 2: 48, 4: 96},
    "NVIDIA_TESLA_P100": {1: 16, 2: 32, 4: 96}, "NVIDIA_TESLA_V100": {1: 12, 2: 24, 4: 48, 8: 96},
}  # fmt: skip


class NoMachine(ValueError):
    """There is no such machine; the message says why, after what was asked for."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with its GPUs.

    Args:
        name: its type.
        gpu, count: the type of its GPUs, as the service calls it, and how many.
    """

    name: str
    gpu: str | None = None
    count: int = 0


def gpu_type(text: str) -> str | None:
    """What the service calls a type of GPU; None where it has none of that name."""
    return GPUS.get(text.lower().replace("_", "-").removeprefix("nvidia-").removeprefix("tesla-"))


def choose(
    name: str | None, cpus: float | None, gigabytes: float | None, gpu: str | None, count: int
) -> Machine:
    """The machine for what is asked.

    Args:
        name: its type, where that is said.
        cpus, gigabytes: at least so many.
        gpu, count: GPUs of that type, as the service calls it.

    Raises:
        NoMachine: there is none, or it does not go with these GPUs.
    """
    if name is not None:
        return _named(name, cpus or 0, gigabytes or 0, gpu, count)
    if gpu is None and cpus is None and gigabytes is None:
        return Machine(SMALLEST)
    fitting = [
        (have[0], place, machine)
        for place, machine in enumerate(_all())  # the cheaper families first
        if (have := _inside(machine.name)) is not None
        and have[0] >= (cpus or 0)
        and have[1] >= (gigabytes or 0)
        and _goes(machine, gpu, count)
    ]
    if not fitting:
        raise NoMachine("is more than any machine of Vertex AI has")
    found = min(fitting, key=lambda one: one[:2])[2]
    return Machine(found.name, gpu, count)


def _all() -> list[Machine]:
    families = (
        "e2-standard",
        "e2-highmem",
        "n1-standard",
        "n1-highmem",
        "n2-highmem",
        "m1-ultramem",
        "g2-standard",
    )
    plain = [Machine(f"{family}-{number}") for family in families for number in _COUNTS[family]]
    return [*plain, *(Machine(name) for name in _WITH_GPUS)]


def _inside(name: str) -> tuple[float, float] | None:
    """Processors and GB of a machine; None where there is none of that name."""
    if name in _WITH_GPUS:
        return _WITH_GPUS[name][:2]
    found = re.fullmatch(r"(.+)-(\d+)", name)
    if found is None or int(found[2]) not in _COUNTS.get(found[1], ()):
        return None
    return int(found[2]), int(found[2]) * _RATIOS[found[1]]


def _goes(machine: Machine, gpu: str | None, count: int) -> bool:
    """Whether a machine has, or may have, just these GPUs."""
    family, _, number = machine.name.rpartition("-")
    if machine.name in _WITH_GPUS:
        return _WITH_GPUS[machine.name][2:] == (gpu, count)
    if family == "g2-standard":
        return gpu == "NVIDIA_L4" and _L4[int(number)] == count
    if gpu is None:
        return True
    return family.startswith("n1-") and int(number) <= _ON_N1.get(gpu, {}).get(count, 0)


def _named(name: str, cpus: float, gigabytes: float, gpu: str | None, count: int) -> Machine:
    inside = _inside(name)
    if inside is None:
        raise NoMachine("is no machine of Vertex AI")
    if inside[0] < cpus or inside[1] < gigabytes:
        raise NoMachine(f"has {inside[0]:g} processors and {inside[1]:g} GB, which is less than is asked for")
    own = _own_gpus(name)
    if gpu is None and own is not None:
        return Machine(name, *own)
    if not _goes(Machine(name), gpu, count):
        raise NoMachine(
            f"does not go with {count} x {gpu}" + (f", but has {own[1]} x {own[0]}" if own else "")
        )
    return Machine(name, gpu, count)


def _own_gpus(name: str) -> tuple[str, int] | None:
    if name in _WITH_GPUS:
        return _WITH_GPUS[name][2:]
    family, _, number = name.rpartition("-")
    return ("NVIDIA_L4", _L4[int(number)]) if family == "g2-standard" else None


def cpus(text: str) -> float:
    """``4`` or ``500m`` as a number of processors."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


_UNITS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


def memory(text: str) -> str:
    """A size as Kubernetes writes it: without ``B``."""
    return text.removesuffix("B")


def gigabytes(text: str) -> float:
    """``16Gi`` as a number of gigabytes (10^9 bytes)."""
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]+)", memory(text))
    assert found is not None  # the option's own form
    return float(found[1]) * _UNITS[found[2]] / 1e9
