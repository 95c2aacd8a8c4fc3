"""Where traces are played: which objects there are, which names hold them, what is done to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nbvertex import library
from nbvertex.effects import State
from nbvertex.methods import LASTING, LAZY
from nbvertex.names import BUILTINS
from nbvertex.trace import PLAIN, Function, Trace, Value, join

LITERALS = frozenset({"list()", "dict()", "set()", "tuple()"})
MADE = frozenset(  # classes that calls have made
    "type() collections.namedtuple() typing.NamedTuple() typing.TypedDict() typing.NewType() enum.Enum() enum.IntEnum() "
    "enum.StrEnum() enum.Flag() enum.IntFlag() dataclasses.make_dataclass()".split()
)
CALLED = frozenset(
    {"__init__", "__new__", "__post_init__", "__init_subclass__", "__call__"}
)  # run by calls, seen as such


@dataclass(slots=True)
class Outcome:
    """What one cell did on the stage.

    Args:
        reads: names that it needs from before, with the line.
        late: those of them that only a function needs, when it is called.
        carried: those of them whose function is at hand, but is not seen to be called.
        binds: names that it may bind, with the line.
        doubtful: names that it binds only if code runs that need not run.
        deletes: names that it may delete, with the line.
        sure: names bound for certain by now.
        changed: objects changed in place, with the line.
        handed: objects given to code that cannot be seen, with the line.
        hands: the objects in `handed`, as a set.
        consumed: objects that are iterated over, and used up if they are iterators, with the line.
        state: what is done to the state outside the names, with the line.
        everything: the line where anything may be done to any name, or 0.
        expressions: names in text that is evaluated.
        given: the objects of the names it reads, as they were before.
        shown: the value that IPython shows at its end.
    """

    reads: dict[str, int] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    carried: set[str] = field(default_factory=set)
    binds: dict[str, int] = field(default_factory=dict)
    doubtful: dict[str, int] = field(default_factory=dict)
    deletes: dict[str, int] = field(default_factory=dict)
    sure: set[str] = field(default_factory=set)
    changed: dict[int, int] = field(default_factory=dict)
    handed: dict[int, int] = field(default_factory=dict)
    hands: int = 0
    consumed: dict[int, int] = field(default_factory=dict)
    state: dict[State, int] = field(default_factory=dict)
    everything: int = 0
    expressions: set[str] = field(default_factory=set)
    given: dict[str, Value] = field(default_factory=dict)
    shown: Value = PLAIN


def bits(mask: int) -> Iterator[int]:
    """The numbers of the objects in a set."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class Stage:
    """Names and objects, cell after cell.

    Args:
        paths: names known to hold a module, a thing of it, or an object of a type.
    """

    def __init__(self, paths: Mapping[str, str] | None = None) -> None:
        self.paths = dict(paths or {})
        self.env: dict[str, Value] = {}
        self.holds: list[int] = []  # object -> what can be reached from it
        self.perhaps: list[int] = []  # object -> what it may be, or share
        self.types: list[str] = []
        self.reached: dict[int, int] = {}  # what `reach` has found, as long as that holds
        self.covered = 0  # the objects in there
        self.functions: dict[int, Function] = {}
        self.classes: dict[int, dict[str, int]] = {}
        self.code = 0  # the objects that are functions or classes of the notebook
        self.seen = 0  # the objects that unknown code has had in its hands
        self.parts = 0  # objects that stand for something inside of another
        self.sums = 0  # objects that an operator has made
        self.now = Outcome()
        self.doubts = 0  # how many reasons there are why this need not run
        self.operating = 0  # special methods that are being played, one within the other
        self.active: set[int] = set()  # functions that are being played
        self.special: dict[int, int] = {}  # class -> its methods that no call names: `__len__`, properties
        # functions that this cell has played with arguments unknown: what they gave
        self.guessed: dict[int, int] = {}
        # the same for special methods, and what they were given
        self.operated: dict[tuple[int, int], int] = {}
        self.pending: list[
            tuple[int, int]
        ] = []  # functions called too deep to be followed there, with the line
        self.raised = 0  # what this cell has raised exceptions with
        self.plays = 0  # how many functions this cell has played
        self.woken: set[int] = set()
        self.mortal = False  # some object tells when it dies: by a `__del__`, or a weak reference

    # objects

    def new(self, kind: str = "", *, holds: int = 0, perhaps: int = 0) -> int:
        """The number of one more object."""
        self.holds.append(holds)
        self.perhaps.append(perhaps)
        self.types.append(kind)
        return len(self.types) - 1

    def part(self, mask: int) -> Value:
        """Something inside of some objects."""
        if not mask:
            return PLAIN
        number = self.new()
        self.parts |= 1 << number
        return Value(1 << number, mask)

    def content(self, mask: int) -> int:
        """What lies in some objects; they themselves, where nobody knows what that is."""
        out = 0
        for number in bits(mask):
            known = not self.seen >> number & 1 and (
                self.sums >> number & 1 or self.types[number] in LITERALS
            )
            out |= self.holds[number] | self.perhaps[number] if known else 1 << number
        return out

    def link(self, number: int, mask: int, *, perhaps: bool = False) -> None:
        """From an object, others can be reached, or may be."""
        edges = self.perhaps if perhaps else self.holds
        mask &= ~(1 << number)
        if mask & ~edges[number]:
            edges[number] |= mask
            if self.covered >> number & 1:
                self.reached.clear()
                self.covered = 0

    def reach(self, mask: int) -> int:
        """Everything that may be reached from some objects."""
        known = self.reached.get(mask)
        if known is not None:
            return known
        seen, todo = 0, mask
        holds, perhaps = self.holds, self.perhaps
        while todo:
            number = (todo & -todo).bit_length() - 1
            seen |= 1 << number
            todo = (todo | holds[number] | perhaps[number]) & ~seen
        self.reached[mask] = seen
        self.covered |= seen
        return seen

    def inside(self, mask: int) -> int:
        """They, and everything that they are known to hold; not the class of an instance, nor what is in it."""
        seen = 0
        while mask:
            number = (mask & -mask).bit_length() - 1
            seen |= 1 << number
            mask = (mask | self.holds[number] & ~self.code) & ~seen
        return seen

    def kind(self, value: Value) -> str:
        """The type of a value; empty where it is not known, or may be one of several."""
        if value.within or not value.at:
            return ""
        kinds = {self.types[number] for number in bits(value.at)}
        return kinds.pop() if len(kinds) == 1 else ""

    def hold(self, holder: Value, value: Value) -> None:
        for number in bits(holder.all):
            self.link(number, value.all)

    # names

    def lookup(self, name: str) -> Value:
        """What a global name holds now; an object that nothing is known of where no cell has bound it."""
        value = self.env.get(name)
        if value is None:
            known = self.paths.get(name, "")
            if known and not known.endswith("()"):
                value = Value(path=known)
            elif not known and name in BUILTINS:
                return Value(path=f"builtins.{name}")
            else:
                value = Value(1 << self.new(known))
            self.env[name] = value
        return value

    def is_builtin(self, name: str) -> bool:
        return name in BUILTINS and name not in self.env and name not in self.paths

    def need(self, name: str, line: int, *, called: bool) -> None:
        """A function that is at hand reads a global name when it is called."""
        now = self.now
        if called:
            now.carried.discard(name)
        if name not in now.sure and name not in now.reads and not self.is_builtin(name):
            now.reads[name] = line
            now.late.add(name)
            now.given[name] = self.lookup(name)
            if not called:
                now.carried.add(name)

    def need_definitions(self, line: int) -> None:
        """Any function or class may be looked up by its name, and what it reads with it."""
        for name, value in list(self.env.items()):
            if value.at & self.code or self.kind(value) in MADE:
                self.need(name, line, called=False)
                self.wake(value.at, line)

    def need_imported(self, line: int) -> None:
        """What came from the user's own modules stays what it was, while its module is made anew."""
        for name, value in list(self.env.items()):
            kinds = {self.types[number] for number in bits(self.reach(value.all))}
            if any(kind in LITERALS or library.is_own(kind) for kind in {value.path, *kinds}):
                self.need(name, line, called=False)

    def bind(self, name: str, value: Value, line: int, *, sure: bool) -> None:
        if self.mortal and name in self.env:  # what it held may die now, and somebody can tell
            self.need(name, line, called=True)
            self.use(self.env[name], line)
        if sure:
            self.env[name] = value
            self.now.sure.add(name)
        else:
            old = self.env.get(name)
            self.env[name] = value if old is None else join(old, value)
        (self.now.doubtful if self.doubts else self.now.binds).setdefault(name, line)

    def unbind(self, name: str, line: int, *, sure: bool) -> None:
        self.now.deletes.setdefault(name, line)
        if sure:
            self.env.pop(name, None)
            self.now.sure.discard(name)

    # what happens to objects

    def change(self, value: Value, line: int) -> None:
        """An object is changed in place, or what belongs to a module is."""
        if value.path and not value.path.endswith("()"):
            self.state(library.stored(value.path), line)
            return
        certain = value.at | self.inside(value.within)
        shared = value.within
        for number in bits(value.at):
            shared |= self.perhaps[number]
        possible = self.reach(shared)
        if self.doubts:
            certain, possible = 0, certain | possible
        for number in bits(certain):
            self.now.changed.setdefault(number, line)
        for number in bits(possible & ~certain):
            self.now.handed.setdefault(number, line)

    def hand(self, value: Value, line: int) -> None:
        """An object is given to code that cannot be seen."""
        objects = self.reach(value.all)
        self.seen |= objects
        for number in bits(objects & ~self.now.hands):
            self.now.handed.setdefault(number, line)
        self.now.hands |= objects

    def consume(self, value: Value, line: int) -> None:
        """Something is iterated over, which uses up an iterator, and those that it takes from."""
        for number in bits(value.at):
            if self.types[number] in LAZY:
                self.change(Value(1 << number), line)
        todo = value.all
        for number in bits(value.at):
            todo |= self.holds[number] if self.types[number] in LAZY else 0
        for number in bits(todo):
            if self.types[number] not in LASTING:
                self.now.consumed.setdefault(number, line)

    def state(self, effects: tuple[State, ...], line: int, *, unsure: bool = False) -> None:
        """The state outside the names is looked at or set; what is set perhaps is also what it was."""
        for kind, what, mode in effects:
            self.now.state.setdefault((kind, what, "update" if unsure and mode == "write" else mode), line)

    def use(self, value: Value, line: int) -> None:
        """A value is looked at: the functions that come with it may need names of their own."""
        if value.path and not value.path.endswith("()"):
            self.state(library.loaded(value.path), line)
            if value.path.partition(".")[0] == "__main__":
                self.now.everything = self.now.everything or line
        if value.at or value.within:
            self.wake(value.all, line)

    def carries(self, number: int) -> int:
        """What a function can get at by the names that it reads, itself or by functions among those."""
        out, done, todo = 0, 0, 1 << number
        while todo & ~done:
            low = todo & ~done & -(todo & ~done)
            done |= low
            function = self.functions.get(low.bit_length() - 1)
            for name in function.trace.needs if function is not None else ():
                if name in self.env:
                    reached = self.reach(self.env[name].all)
                    out |= reached
                    todo |= reached & self.code
        return out

    def wake(self, mask: int, line: int) -> None:
        """The functions among some objects, and in them, are at hand with all the names that they read."""
        todo = [mask] if self.code else []
        while todo:
            for number in bits(self.reach(todo.pop()) & self.code):
                function = self.functions.get(number)
                if function is None or number in self.woken:
                    continue
                self.woken.add(number)
                for name in function.trace.needs:
                    self.need(name, line, called=False)
                    if name in self.env:
                        todo.append(self.env[name].all)

    def define(self, number: int, trace: Trace, own: int, methods: Mapping[str, int]) -> None:
        """An object is a function of the notebook, or a class of it with methods."""
        self.code |= 1 << number
        if own in trace.functions:
            self.functions[number] = trace.functions[own]
        else:
            self.classes[number] = dict(methods)
            self.mortal = self.mortal or "__del__" in methods
            for name, method in methods.items():
                function = self.functions.get(method)
                if function and (function.by_load or (name.startswith("__") and name not in CALLED)):
                    self.special[number] = self.special.get(number, 0) | 1 << method
