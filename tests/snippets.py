"""Random small notebooks for laws: every cell is a few statements on a few names."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

NAMES = ("a", "b", "c", "d", "e")

# What a statement may look like; `N` is a name that is bound, `M` one that is read, `O` another one that is read.
STATEMENTS = (
    "N = M",
    "N = 1",
    "N = [1, 2]",
    "N = [M]",
    "N = [M, O]",
    "N = {'k': M}",
    "N = (M, O)",
    "N, M = M, O",
    "N = M[0]",
    "N = M['k']",
    "N = M[:]",
    "N = list(M)",
    "N = dict(k=M)",
    "N = M.copy()",
    "N = M if O else []",
    "N = M or O",
    "N = M + O",
    "N = len(M)",
    "N = [x for x in M]",
    "N = [x for x in M if x is not O]",
    "N = {'k': [M for _ in range(2)]}",
    "N = iter(M)",
    "N = next(M)",
    "N = zip(M, O)",
    "N = sorted(M, key=kind)",
    "N = lambda: M",
    "N = lambda v: M.append(v)",
    "N = lambda v=M: v",
    "N = M()",
    "N = M(O)",
    "N = M.append",
    "N = max(M, key=kind)",
    "N = print(M, O)",
    "N = getattr(M, 'items', None)",
    "N = Box(M)",
    "N = M.value",
    "N = M.get()",
    "M.put(O)",
    "M.value = O",
    "M.append(O)",
    "M.append(1)",
    "M.extend(list(O))",
    "M.update(O)",
    "M.insert(0, O)",
    "M.sort(key=kind)",
    "M.clear()",
    "N = M.pop()",
    "M[0] = O",
    "M['k'] = O",
    "M[0].append(O)",
    "M['k'].append(1)",
    "del M[0]",
    "del M",
    "N = 0; del N",
    "M += [1]",
    "M += list(O)",
    "M[0] += O",
    "add(M, O)",
    "N = same(M)",
    "N = pair(M, O)",
    "N = first(M)",
    "N = keep(M)",
    "N = kept()",
    "N = counter(M)",
    "bump()",
    "N = total",
    "rebind(M)",
    "if M:\n    N = O",
    "if M:\n    N = O\nelse:\n    N = []",
    "if M:\n    O.append(1)",
    "for N in M:\n    pass",
    "for x in M:\n    x.append(1)",
    "for x in M:\n    N = x\n    O.append(N)",
    "last = None\nfor x in M:\n    if last is not None: last.append(0)\n    last = x",
    "while True:\n    N = M\n    break",
    "try:\n    N = M[0]\nexcept Exception as error:\n    N = O",
    "try:\n    M.append(1)\nfinally:\n    N = O",
    "with Box(M) as N:\n    pass",
    "match M:\n    case [N, *_]: pass\n    case {'k': N}: pass\n    case _: N = O",
    "def f(v, w=M):\n    w.append(v)\n    return w\nN = f",
    "def f(v):\n    return [M, v]\nN = f",
    "def f():\n    global N\n    N = M\nf()",
    "def f(v):\n    def g(w):\n        v.append(w)\n        return v\n    return g\nN = f(M)",
    "class C(Box):\n    shared = M\n    def get(self): return self.shared\nN = C(O)",
    "class C:\n    def __len__(self): return len(M)\n    def __getitem__(self, i): return O\nN = C()",
    "N = [y.append(1) for y in M]",
    "N = (y for y in M)",
    "(N := M).append(1)",
    "N = functools.partial(add, M)",
    "N = list(map(same, M))",
    "M.f = lambda: O",
    "N = M.f()",
    "N = O = M",
    "M[:] = O",
    "M[1:] = [O]",
    "del M[:]",
    "M.value += [O]",
    "setattr(M, 'value', O)",
    "N = vars(M)",
    "N = M.keys()",
    "N = reversed(M)",
    "N = enumerate(M)",
    "N = map(same, M)",
    "N = filter(None, M)",
    "N = M.setdefault('z', O)",
    "N = [*M, *O]",
    "N = {**M, 'o': O}",
    "N = M == O",
    "N = M in O",
    "N = kind(M)",
    "N, *M = O",
    "[N, M] = O, O",
    "(N, M), O = (M, O), N",
    "N = Loud(M)",
    "N = M + 1",
    "N = M.half",
    "N = [f for f in [lambda: M]][0]",
    "N = [lambda x=x: x for x in M]",
    "N = spread(*M)",
    "N = spread(M, w=O)",
    "N = spread(**{'v': M})",
    "N = deep(2, M)",
    "N = flow(M)",
    "N = next(flow(M))",
    "N = Box.shared",
    "Box.shared = M",
    "Box.shared.append(M)",
    "N = M.bound()",
    "same.mark = M",
    "N = same.mark",
    "N = chain(M)(O)",
    "N = (lambda f: f(M))(same)",
    "N = functools.reduce(pair, M)",
    "N = call(add, M, O)",
    "N = call(lambda v, w: M, O, O)",
    "try:\n    M[7]\nexcept (IndexError, KeyError, TypeError) as N:\n    pass",
    "try:\n    raise ValueError(M)\nexcept ValueError as error:\n    N = error.args",
    "try:\n    fail(M)\nexcept ValueError as error:\n    N = error.args[0]",
    "try:\n    assert not M, O\nexcept AssertionError as error:\n    N = error.args",
    "try:\n    del N\nexcept NameError:\n    pass",
    "with Loud(M):\n    N = O",
    "for i, N in enumerate(M):\n    O.append(i)",
    "while M:\n    N = M.pop()\n    if N: break",
    "def f(v, *rest, **words):\n    rest[0].append(v)\n    return words\nN = f(M, O, w=O)",
    "def f(n):\n    if not n: return M\n    return f(n - 1)\nN = f(2)",
    "def f():\n    def g():\n        global N\n        N = M\n    return g\nf()()",
    "def f():\n    n = M\n    def g():\n        nonlocal n\n        n = O\n        return n\n    g()\n    return n\nN = f()",
    "@keep\ndef f(): return M\nN = f",
    "class C(Loud):\n    def __repr__(self): return repr(M)\nN = C(O)",
    "class C:\n    items = M\n    def __iter__(self): return iter(self.items)\nN = C()",
    "class C:\n    def __call__(self, v): return M.append(v) or M\nN = C()",
    "class C:\n    def __eq__(self, other):\n        O.append(1)\n        return True\nN = C() == M",
)
HIDDEN = ("a", "total", "store", "heard", "Box", "__builtins__")  # what the functions below bind and change
FIRST = """
import functools

class Box:
    def __init__(self, value): self.value = value
    def get(self): return self.value
    def put(self, value): self.value = value
    def __enter__(self): return self.value
    def __exit__(self, *_): return False

Box.shared = []
Box.bound = lambda self: [self.value]

class Loud(Box):
    @property
    def half(self):
        heard.append(self.value)
        return heard[-1]
    def __add__(self, other): return heard
    def __enter__(self):
        heard.append(1)
        return self

total = 0
store = []
heard = []
def add(v, w): v.append(w)
def same(v): return v
def kind(v): return type(v).__name__
def pair(v, w): return [v, {'k': w}]
def first(v): return v[0]
def keep(v):
    store.append(v)
    return len(store)
def kept(): return store[-1]
def bump():
    global total
    total += 1
def rebind(v):
    global a
    a = v
def spread(v, *rest, w=None, **more): return [v, rest, w, more]
def deep(n, v): return v if not n else deep(n - 1, v)
def fail(v): raise ValueError(v, heard)
def flow(v):
    for x in v: yield x
def chain(v): return lambda w: [v, w]
def call(f, v, w): return f(v, w)
def counter(v):
    n = []
    def step():
        n.append(v)
        return n
    return step
"""


@st.composite
def statements(draw: st.DrawFn) -> str:
    """One statement on the names."""
    names = st.sampled_from(NAMES)
    text = draw(st.sampled_from(STATEMENTS))
    for place in "NMO":
        name = draw(names)
        text = "".join(_put(part, place, name) for part in _parts(text))
    return text


def _parts(text: str) -> list[str]:
    """The words of a statement and what stands between them."""
    out: list[str] = [""]
    for letter in text:
        if letter.isalnum() == (out[-1][-1:].isalnum() or not out[-1]):
            out[-1] += letter
        else:
            out.append(letter)
    return out


def _put(part: str, place: str, name: str) -> str:
    return name if part == place else part


def cells(least: int = 1, most: int = 3) -> st.SearchStrategy[str]:
    """A cell of a few statements."""
    return st.lists(statements(), min_size=least, max_size=most).map("\n".join)


def drafts(most: int = 6) -> st.SearchStrategy[list[list[str]]]:
    """Cells of statements, many of which may fail."""
    return st.lists(st.lists(statements(), min_size=1, max_size=5), min_size=2, max_size=most)


def working(setup: str, drafts: Sequence[Sequence[str]]) -> list[str]:
    """Cells of those statements that do not fail where they stand."""
    kept = [list(draft) for draft in drafts]
    while (place := _failing(setup, kept)) is not None:
        cell, number = place
        del kept[cell][number]
    return ["\n".join(cell) for cell in kept if cell]


def _failing(setup: str, drafts: Sequence[Sequence[str]]) -> tuple[int, int] | None:
    names: dict[str, Any] = {"__name__": "__main__"}
    run(setup, names)
    for cell, draft in enumerate(drafts):
        for number, statement in enumerate(draft):
            if run(statement, names) is None:
                return cell, number
    return None


def start() -> dict[str, Any]:
    """The names that programs begin with, none sharing anything with another."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(FIRST, names)
    names.update(a=[1, [2]], b={"k": [3]}, c=[[4], [5]], d=6, e=names["Box"]([7]))
    return names


def run(source: str, names: dict[str, Any]) -> str | None:
    """What a cell prints; None where it fails."""
    out = io.StringIO()
    left = 2000

    def count(frame: Any, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != "<cell>":
            return None
        left -= 1
        if left < 0:
            raise TimeoutError
        return count

    before = sys.gettrace()
    try:
        with contextlib.redirect_stdout(out):
            code = compile(source, "<cell>", "exec")
            sys.settrace(count)  # some programs would never end
            exec(code, names)
    except Exception:  # programs are written at random: most of what can go wrong does
        return None
    finally:
        sys.settrace(before)
    return re.sub(r"0x[0-9a-f]+", "0x", out.getvalue())


def shape(value: Any, seen: Sequence[int] = ()) -> Any:
    """What can be seen of a value, without addresses; a value within itself is cut."""
    if id(value) in seen or len(seen) > 6:
        return "..."
    inner = (*seen, id(value))
    if isinstance(value, list | tuple | set):
        return [type(value).__name__, *(shape(item, inner) for item in value)]
    if isinstance(value, dict):
        return {key: shape(item, inner) for key, item in value.items()}
    if isinstance(value, str):
        return re.sub("0x[0-9a-f]+", "0x", value)
    if isinstance(value, int | None):
        return value
    if hasattr(value, "__reduce__") and type(value).__name__ in ("list_iterator", "zip"):
        return [type(value).__name__, shape(value.__reduce__()[1:], inner)]
    if hasattr(value, "__dict__") and not isinstance(value, type):
        closure = getattr(value, "__closure__", None) or ()
        held = [cell.cell_contents for cell in closure if _full(cell)]
        defaults = list(getattr(value, "__defaults__", None) or ())
        return [type(value).__name__, shape(vars(value), inner), shape(held, inner), shape(defaults, inner)]
    if isinstance(value, type):
        return [
            "class",
            *(shape(item, inner) for name, item in sorted(vars(value).items()) if name == "shared"),
        ]
    return type(value).__name__


def _full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
