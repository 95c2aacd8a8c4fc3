"""What IPython's commands do: magics, shell lines, and what they take from the names around them."""

from __future__ import annotations

import ast
import re
import shlex
import string
from collections.abc import Callable
from dataclasses import dataclass

from nbvertex import requirement_lines
from nbvertex.trace import Mode

State = tuple[str, str, Mode]
SHELL: tuple[State, ...] = (
    ("process", "", "update"),
    ("files", "", "update"),
    ("network", "", "update"),
    ("cwd", "", "read"),
    ("environ", "", "read"),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Python inside a command.

    Args:
        python: the code.
        below: how many lines below the command it begins.
        apart: it runs in a function of its own, so that what it binds is not seen.
    """

    python: str
    below: int = 0
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """What one command does.

    Args:
        pieces: Python that it runs.
        expressions: what its text takes from the names: ``$name``, ``{expression}``.
        binds, deletes: names.
        state: what it does to the state outside the names.
        everything: it may read and write any name.
        requirements: what it asks to be installed; nothing else happens then.
        gives: it returns an object that nothing is known of.
        keeps_result: it returns what its Python returns.
    """

    pieces: tuple[Piece, ...] = ()
    expressions: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    state: tuple[State, ...] = ()
    everything: bool = False
    requirements: tuple[str, ...] = ()
    gives: bool = False
    keeps_result: bool = False


def method(node: ast.Call) -> str:
    """The method called, where the call is ``get_ipython().METHOD(...)``; else empty."""
    match node.func:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython"), args=[], keywords=[]), attr=name):
            return name
    return ""


def understand(name: str, node: ast.Call) -> Command | None:
    """What a call of IPython does; None where that is to be read as any other call."""
    texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    if len(texts) != len(node.args) or node.keywords:
        return _spoken(name)
    match name, texts:
        case ("system" | "getoutput" | "getoutput_lines", [text]):
            return _shell(text, gives=name != "system")
        case ("run_line_magic" | "magic", [text]):
            magic, _, line = text.partition(" ")
            return _magic(magic, line)
        case ("run_line_magic", [magic, line]):
            return _magic(magic, line)
        case ("run_cell_magic", [magic, line, body]):
            return _cell(magic, line, body)
    return _spoken(name)


HARMLESS = frozenset(
    "show_usage kernel config enable_gui enable_matplotlib enable_pylab display_pub display_formatter".split()
)


def _spoken(name: str) -> Command | None:
    """IPython's own methods, and commands whose text is made up as the cell runs."""
    if name in HARMLESS:
        return Command(state=(("ipython", "", "read"),), gives=True)
    if name in ("system", "getoutput"):
        return Command(state=SHELL, gives=True)
    return Command(everything=True, state=_IPYTHON, gives=True)


# text that IPython fills in


def expanded(text: str) -> tuple[str, ...]:
    """The expressions that IPython would put into a command's text."""
    out: list[str] = []
    try:
        for literal, field, spec, _ in string.Formatter().parse(text):
            out.extend(_DOLLAR.findall(_unquoted(literal)))
            if field:
                out.append(field)
            if spec:
                out.extend(expanded(spec))
    except ValueError:  # braces that do not match: IPython leaves the text as it is, and so do `$` names stay
        out.extend(_DOLLAR.findall(_unquoted(text)))
    return tuple(out)


_DOLLAR = re.compile(r"(?<!\$)\$([A-Za-z_][\w.]*)")


def _unquoted(text: str) -> str:
    """The text without what stands in single quotes, where ``$`` means nothing."""
    return re.sub(r"'[^']*'", "", text)


# shell lines


def _shell(text: str, *, gives: bool = False) -> Command:
    asked = requirement_lines.asked(text)
    if asked is not None and not gives:
        return Command(requirements=asked)
    return Command(expressions=expanded(text), state=SHELL, gives=gives)


# magics


def _magic(name: str, line: str) -> Command:
    """A line magic."""
    if name in ("pip", "conda", "mamba", "micromamba", "uv"):
        asked = requirement_lines.asked(f"{name} {line}")
        return Command(requirements=asked) if asked is not None else _shell(line)
    if name in _LINE:
        return _LINE[name](line)
    if name in _PLAIN:
        return Command(expressions=expanded(line), state=_PLAIN[name], gives=True)
    return Command(expressions=expanded(line), everything=True, state=_IPYTHON, gives=True)


def _cell(name: str, line: str, body: str) -> Command:
    """A cell magic."""
    if name in _CELL:
        return _CELL[name](line, body)
    if name in _TEXT:
        return Command(expressions=expanded(line), state=_TEXT[name])
    if name in _SCRIPTS:
        return _script(name, line, body)
    if name in ("system", "sx", "!"):
        return _shell(f"{line}\n{body}", gives=True)
    return Command(expressions=expanded(line), everything=True, state=_IPYTHON, gives=True)


def _words(line: str) -> list[str]:
    """A magic's line in words, quotes taken off where they match."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def options(line: str, with_value: str) -> tuple[dict[str, str], str]:
    """A magic's short options, and the rest of the line as it stands.

    Args:
        line: behind the magic's name.
        with_value: letters of the options that take a value.
    """
    given: dict[str, str] = {}
    rest = line.strip()
    while found := re.match(r"-([A-Za-z])(\s+|$)?", rest):
        letter, rest = found[1], rest[found.end() :]
        if letter in with_value:
            value, _, rest = rest.partition(" ")
            given[letter] = value
        else:
            given[letter] = ""
            rest = f"-{rest}" if found[2] is None and rest else rest
        rest = rest.lstrip()
    return given, rest


CLOCK: tuple[State, ...] = (("clock", "", "read"),)
_IPYTHON: tuple[State, ...] = (("ipython", "", "update"),)


def _time(line: str, body: str = "") -> Command:
    rest = options(line, "")[1]
    pieces = (*((Piece(rest),) if rest else ()), *((Piece(body, below=1),) if body else ()))
    return Command(pieces=pieces, state=CLOCK, keeps_result=not body)


def _timeit(line: str, body: str = "") -> Command:
    given, rest = options(line, "nrtp")
    pieces = (Piece(f"{rest}\n{body}", apart=True),)  # what stands in the line sets up what is timed
    return Command(pieces=pieces, state=CLOCK, gives="o" in given)


def _prun(line: str, body: str = "") -> Command:
    _, rest = options(line, "lsTD")
    pieces = (*((Piece(rest),) if rest else ()), *((Piece(body, below=1),) if body else ()))
    return Command(pieces=pieces, state=CLOCK, gives=True)


def _capture(line: str, body: str) -> Command:
    binds = tuple(word for word in _words(line) if word.isidentifier())
    return Command(pieces=(Piece(body, below=1),), binds=binds)


def _python(line: str, body: str = "") -> Command:
    return Command(pieces=(Piece(line), Piece(body, below=1)))


def _script(name: str, line: str, body: str) -> Command:
    """``%%bash`` and its like: another process reads the body."""
    words = _words(line)
    binds = [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("--out", "--err", "--proc")]
    binds += [word.partition("=")[2] for word in words if re.match(r"--(out|err|proc)=", word)]
    state = (*SHELL, ("threads", "", "update")) if "--bg" in words else SHELL
    return Command(expressions=expanded(line), binds=tuple(filter(str.isidentifier, binds)), state=state)


def _r(line: str, body: str = "") -> Command:
    """rpy2's ``%%R -i frame -o result``: names go in and come out."""
    words = _words(line)
    pairs = [(words[i], words[i + 1].split(",")) for i in range(len(words) - 1)]
    takes = [name for option, names in pairs if option in ("-i", "--input") for name in names]
    binds = [name for option, names in pairs if option in ("-o", "--output") for name in names]
    return Command(
        expressions=tuple(takes), binds=tuple(filter(str.isidentifier, binds)), state=SHELL, gives=True
    )


def _writefile(line: str, body: str) -> Command:
    words = _words(line)
    appends = bool({"-a", "--append"} & set(words))
    names = [word for word in words if not word.startswith("-")]
    name = "" if not names or expanded(line) else names[-1]
    return Command(expressions=expanded(line), state=(("files", name, "update" if appends else "write"),))


def _env(line: str) -> Command:
    text = line.strip()
    reads = not text or not re.search(r"[=\s]", text)
    return Command(
        expressions=expanded(text), state=(("environ", "", "read" if reads else "update"),), gives=True
    )


def _run(line: str) -> Command:
    """``%run FILE``: a program whose names land in the notebook."""
    return Command(expressions=expanded(line), everything=True, state=(*SHELL, *_IPYTHON))


def _bigquery(line: str, body: str) -> Command:
    words = _words(line)
    binds = words[:1] if words and words[0].isidentifier() else []
    takes = re.findall(r"\$([A-Za-z_]\w*)", f"{line}\n{body}")
    return Command(
        expressions=(*takes, *expanded(line)),
        binds=tuple(binds),
        state=(("network", "", "update"),),
        gives=not binds,
    )


def _sql(line: str, body: str = "") -> Command:
    """JupySQL and ipython-sql: ``var <<``, ``:name``, ``{{name}}``, and any data frame by its name."""
    text = f"{line}\n{body}"
    binds = re.findall(r"^\s*(\w+)\s*<<", text)
    takes = re.findall(r"(?<!:):([A-Za-z_]\w*)|\{\{\s*([A-Za-z_]\w*)|\b([A-Za-z_]\w*)\b", text)
    names = tuple(dict.fromkeys(name for group in takes for name in group if name))
    return Command(
        expressions=names,
        binds=tuple(binds),
        state=(("network", "", "update"), ("files", "", "update")),
        gives=True,
    )


_PLAIN: dict[str, tuple[State, ...]] = {
    **dict.fromkeys(
        "load_ext reload_ext unload_ext config colors xmode autoreload autocall automagic alias alias_magic unalias "
        "rehashx pprint precision logon logoff logstart logstate logstop doctest_mode gui aimport "
        "autosave autoindent autoawait pdb page flow qtconsole connect_info tensorboard cython "
        "nb_black blackcellmagic nbvertex watermark google.cloud.bigquery".split(),
        _IPYTHON,
    ),
    **dict.fromkeys("matplotlib pylab".split(), (("modules", "matplotlib", "update"), *_IPYTHON)),
    **dict.fromkeys("cd pushd popd".split(), (("cwd", "", "update"),)),
    **dict.fromkeys("pwd dirs dhist bookmark".split(), (("cwd", "", "read"),)),
    **dict.fromkeys(
        "ls ll la lf lk lx ldir cat cp mv rm mkdir rmdir head tail more less man sx system sc".split(), SHELL
    ),
    **dict.fromkeys("lsmagic magic quickref pdoc pfile psource notebook pycat".split(), ()),
    **dict.fromkeys("tb logger pastebin killbgscripts".split(), _IPYTHON),
}  # fmt: skip
_EVERYTHING = Command(everything=True, state=_IPYTHON, gives=True)


def _inspect(line: str) -> Command:
    """``%pinfo name`` and ``name?``: looks at an object."""
    name = line.strip().lstrip("%").partition(".")[0].partition("[")[0]
    return Command(expressions=(name,) if name.isidentifier() else ())


def _pylab(line: str) -> Command:
    """``%pylab`` fills the namespace with NumPy and pyplot."""
    return Command(everything=True, state=(("modules", "matplotlib", "update"), *_IPYTHON))


def _delete(line: str) -> Command:
    name = _words(line)[-1:] or [""]
    return Command(deletes=tuple(n for n in name if n.isidentifier()), everything=True, state=_IPYTHON)


_LINE: dict[str, Callable[[str], Command]] = {
    "time": _time,
    "timeit": _timeit,
    "prun": _prun,
    "env": _env,
    "set_env": _env,
    "run": _run,
    "pinfo": _inspect,
    "pinfo2": _inspect,
    "psearch": lambda line: _EVERYTHING,
    "pdef": _inspect,
    "pylab": _pylab,
    "memit": _timeit,
    "mprun": lambda line: Command(pieces=(Piece(options(line, "fTc")[1]),), state=CLOCK),
    "lprun": lambda line: Command(pieces=(Piece(options(line, "fmDTsru")[1]),), state=CLOCK),
    **dict.fromkeys("history hist save".split(), lambda line: Command(expressions=(*expanded(line), "In"))),
    "xdel": _delete,
    "sql": _sql,
    "R": _r,
    "writefile": lambda line: _writefile(line, ""),
}
_CELL: dict[str, Callable[[str, str], Command]] = {
    "time": _time,
    "timeit": _timeit,
    "prun": _prun,
    "capture": _capture,
    "memit": _timeit,
    "writefile": _writefile,
    "file": _writefile,
    "bigquery": _bigquery,
    "bqsql": _bigquery,
    "sql": _sql,
    "R": _r,
    "python": lambda line, body: _script("python", line, body),
}
_DISPLAY: tuple[State, ...] = (("display", "", "update"),)
_TEXT: dict[str, tuple[State, ...]] = {
    **dict.fromkeys("html HTML javascript js latex markdown svg SVG mermaid".split(), _DISPLAY),
}
_SCRIPTS = frozenset("bash sh script perl ruby python2 python3 pypy zsh cmd powershell node julia".split())


def names_in(expression: str) -> tuple[str, ...]:
    """The names that an expression in some text loads; none where it is no expression."""
    try:
        tree = ast.parse(expression.strip() or "0", mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        return ()
    return tuple(
        dict.fromkeys(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
    )
