"""What differs from run to run by nature is set aside in texts; everything else stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex import masks

ALIKE: dict[str, tuple[str, str]] = {
    "an address": ("<__main__.C object at 0x7f2e3c4d5e60>", "<__main__.C object at 0x55aa3c4d5e68>"),
    "what id gives": ("id 140234234234224", "id 139876543210000"),
    "a cell's file": ("/tmp/ipykernel_123/345.py:3: UserWarning: x", "/tmp/ipykernel_1/99.py:3: UserWarning: x"),
    "a temporary file": ("/a/tmpab12cd_3/x.csv", "/a/tmp_9zz0aa1/x.csv"),
    "%time": ("CPU times: user 1 ms, sys: 0 ns, total: 1 ms\nWall time: 1.2 ms",
              "CPU times: user 3 s, sys: 1 ms, total: 3 s\nWall time: 3.01 s"),
    "%time, compiled": ("Compiler     : 123 ms", "Compiler     : 1.2 s"),
    "%timeit": ("1.23 \N{GREEK SMALL LETTER MU}s \N{PLUS-MINUS SIGN} 4 ns per loop (mean of 7 runs)",
                "8 ns \N{PLUS-MINUS SIGN} 0.1 ns per loop (mean of 7 runs)"),
    "%timeit, slow": ("The slowest run took 5 times longer.\n1 s per loop", "2 s per loop"),
    "%memit": ("peak memory: 102.30 MiB, increment: 0.12 MiB", "peak memory: 99.00 MiB, increment: 0.00 MiB"),
    "bash's time": ("real\t0m0.003s\nuser\t0m0.001s", "real\t1m9.250s\nuser\t0m8.000s"),
    "keras": ("15/15 [====] - 5s 3ms/step - loss: 0.5", "15/15 [====] - 7s 91ms/step - loss: 0.5"),
    "a log of C++": ("I0000 00:00:1795176696.626637   25135 port.cc:153] on", "I0000 00:00:1795176710.1   99 port.cc:153] on"),
    "pytest": ("== 3 passed in 0.12s ==", "== 3 passed in 4.00s =="),
}  # fmt: skip

DIFFERENT: dict[str, tuple[str, str]] = {
    "words": ("user: bob", "user: eve"),
    "a column": ("user\tname", "user\tcity"),
    "a hash": ("0xdeadbeefcafebabe", "0xdeadbeefcafebabf"),
    "an odd number of that size": ("140234234234225", "140234234234227"),
    "a count": ("2 errors in file", "3 errors in file"),
    "keras's loss": ("15/15 [====] - 5s 3ms/step - loss: 0.5", "15/15 [====] - 5s 3ms/step - loss: 0.6"),
    "a short name": ("/a/tmpfile", "/a/tmpdata"),
}


@pytest.mark.parametrize("case", ALIKE)
def test_what_varies_by_nature_does_not_count(case: str) -> None:
    """Both texts come out the same."""
    one, two = ALIKE[case]
    assert one != two
    assert masks.text(one) == masks.text(two)


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_a_program_says_counts(case: str) -> None:
    """Both texts stay different."""
    one, two = DIFFERENT[case]
    assert masks.text(one) != masks.text(two)


@given(st.text(alphabet="abc xyz 0123\n", max_size=60))
def test_a_text_without_such_things_stays_as_it_is(text: str) -> None:
    """Nothing is set aside that need not be."""
    assert masks.text(text) == text


def test_a_stream_is_what_is_left_on_the_terminal() -> None:
    """What a progress bar wiped out is gone, and its times are."""
    bar = "  0%|    | 0/10 [00:00<?, ?it/s]\r100%|####| 10/10 [00:00<00:00, 123.4it/s]\n"
    again = "  0%|    | 0/10 [00:00<?, ?it/s]\r 50%|##  | 5/10 [00:01<00:01, 5.0it/s]\r100%|####| 10/10 [00:02<00:00, 5.0it/s]\n"
    assert masks.stream(bar) == masks.stream(again)
    assert masks.stream("abc\b\bX\n") == "aX\n"
    assert masks.stream("one\r\ntwo\n") == "one\ntwo\n"


@pytest.mark.parametrize(
    "one, two",
    [
        ('<div id="sk-container-id-1">', '<div id="sk-container-id-7">'),
        ("<td>&lt;function f...f3a84f105e0&gt;</td>", "<td>&lt;function f...x7f3a84ee46&gt;</td>"),
        ("#T_a1b2c_row0 {", "#T_ffe01_row0 {"),
        ('<div id="altair-viz-0123456789abcdef0123456789abcdef">', '<div id="altair-viz-fedcba9876543210fedcba9876543210">'),
        ("<dc:date>2024-01-01</dc:date>", "<dc:date>2025-02-02</dc:date>"),
        ('<path id="m0123456789"/><use href="#m0123456789"/>', '<path id="maaaaaaaaaa"/><use href="#maaaaaaaaaa"/>'),
        ("6f1e3f2a-0000-4000-8000-123456789abc", "00000000-1111-4222-8333-abcdefabcdef"),
    ],
)  # fmt: skip
def test_ids_in_markup_do_not_count(one: str, two: str) -> None:
    """What libraries make up for their HTML and SVG."""
    assert masks.markup(one) == masks.markup(two)


def test_which_id_is_used_where_counts() -> None:
    """Ids are renamed, not wiped out."""
    one = '<a id="m0123456789"/><a id="mbbbbbbbbbb"/><use href="#m0123456789"/>'
    two = '<a id="m0123456789"/><a id="mbbbbbbbbbb"/><use href="#mbbbbbbbbbb"/>'
    assert masks.markup(one) != masks.markup(two)
