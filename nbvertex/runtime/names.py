"""The file name under which a cell's code is compiled."""

from __future__ import annotations

FOLDER = "/tmp/ipykernel_1"  # shaped as a kernel's, where it holds a process number that differs each time
_SEED = 0xC70F6907
_FACTOR = 0x5BD1E995
_WORD = 0xFFFFFFFF


def cell_name(source: str) -> str:
    """The name for a cell with that source: as a kernel gives it, the same in every process."""
    return f"{FOLDER}/{_murmur2(source.encode('utf-8', 'surrogatepass'), _SEED)}.py"


def _murmur2(data: bytes, seed: int) -> int:
    """MurmurHash 2 with 32 bits."""
    state = seed ^ len(data)
    whole = len(data) - len(data) % 4
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _FACTOR & _WORD
        word = (word ^ word >> 24) * _FACTOR & _WORD
        state = (state * _FACTOR & _WORD) ^ word
    if rest := data[whole:]:
        state = (state ^ int.from_bytes(rest, "little")) * _FACTOR & _WORD
    state = (state ^ state >> 13) * _FACTOR & _WORD
    return state ^ state >> 15
