"""What is known, without importing them, of Python's builtins and of the libraries that notebooks use."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from nbvertex.trace import Mode, Partly

State: TypeAlias = tuple[str, str, Mode]
Result: TypeAlias = Literal[
    "plain",  # a number, a string, None: nothing that could be shared
    "new",  # an object of its own
    "holds",  # a new object that holds what was given
    "perhaps",  # nobody knows whether it is, or holds, or shares memory with what was given
    "part",  # something inside what was given
    "self",  # the object whose method it is
]


class Effect(NamedTuple):
    """What a call does.

    Args:
        result: what it returns.
        type: the type of what it returns.
        receiver: what happens to the object whose method is called.
        args: what happens to the objects given.
        changes: arguments changed in place, by position or name.
        stores: the object (or the first argument changed) keeps what was given.
        state: what it does to the state outside the names.
        everything: it may read or write any name.
        expressions: a literal among the arguments that is evaluated with the names around.
        marked: of the names in it, only those behind an ``@``.
        calls: functions among the arguments are called, now or later.
    """

    result: Result = "new"
    type: str = ""
    receiver: Literal["keep", "change", "hand"] = "keep"
    args: Literal["keep", "hand", "consume"] = "keep"
    changes: tuple[int | str, ...] = ()
    stores: bool = False
    state: tuple[State, ...] = ()
    everything: bool = False
    expressions: int | str | None = None
    marked: bool = False
    calls: bool = True


class Given(NamedTuple):
    """What is known of a call's arguments: how many, which names, which literals."""

    number: int
    names: frozenset[str]
    constants: Mapping[int | str, Any]
    root: str = ""  # the name that the call begins with

    def literal(self, position: int, name: str) -> Any:
        """A literal argument; None where it is none or is not given."""
        return self.constants.get(position, self.constants.get(name))

    def has(self, position: int, name: str) -> bool:
        return self.number > position or name in self.names


LOCAL = frozenset({"builtins.locals", "builtins.vars", "builtins.dir"})  # in a function: its own names
UNKNOWN = Effect("perhaps", receiver="hand", args="hand")
PURE = Effect("plain")
NEW = Effect("new")
HOLDS = Effect("holds")


def _table(effect: Effect, names: str) -> dict[str, Effect]:
    return dict.fromkeys(names.split(), effect)


def reads(*kinds: str) -> tuple[State, ...]:
    return tuple((kind, "", "read") for kind in kinds)


def updates(kind: str, what: str = "") -> tuple[State, ...]:
    return ((kind, what, "update"),)


FILES = Effect("new", state=updates("files"))
NETWORK = Effect("perhaps", receiver="hand", args="hand", state=updates("network"))
PROCESS = Effect("perhaps", args="hand", state=(*updates("process"), *updates("files")))
CLOCK = Effect("plain", state=reads("clock"))
EVERYTHING = Effect("perhaps", args="hand", everything=True)

_BUILTINS = {
    **_table(Effect("new"), " ".join(n for n in dir(builtins) if isinstance(getattr(builtins, n), type))),
    **_table(
        PURE,
        "len isinstance issubclass repr ascii str int float bool complex abs round hash id callable chr ord hex bin "
        "oct format pow divmod hasattr range slice bytes object type property staticmethod classmethod super",
    ),
    "print": Effect("plain", changes=("file",)),
    **_table(Effect("new", "list()", args="consume"), "list sorted"),
    **{kind: Effect("holds", f"{kind}()", args="consume") for kind in ("list", "set", "dict")},
    **{kind: Effect("holds", "tuple()", args="consume") for kind in ("tuple", "frozenset")},
    "sorted": Effect("holds", "list()", args="consume"),
    **_table(Effect("holds", "iterator()", args="consume"), "enumerate zip map filter reversed iter aiter"),
    **_table(Effect("part", args="consume"), "min max"),
    "sum": Effect("holds", args="consume"),
    **_table(Effect("plain", args="consume"), "any all"),
    **_table(Effect("part", changes=(0,)), "next anext"),
    "getattr": Effect("part"),
    "type": Effect("holds"),
    "super": Effect("part"),
    **_table(Effect("plain", changes=(0,), stores=True), "setattr delattr"),
    "bytearray": Effect("new", "bytearray()", args="consume"),
    "memoryview": Effect("perhaps", "memoryview()"),
    **_table(EVERYTHING, "eval exec globals breakpoint"),
    "__import__": Effect("perhaps"),
    "compile": NEW,
    "input": Effect("plain", state=updates("input")),
    "help": Effect("plain", state=updates("display")),
    **_table(Effect("plain", state=updates("process")), "exit quit"),
    "display": Effect("plain", state=updates("display")),
    "get_ipython": Effect("new", "IPython.shell()", state=reads("ipython")),
}


def _draws(what: str) -> tuple[State, ...]:
    return updates("random", what)


_RANDOM: dict[str, Effect] = {
    "random.seed": Effect("plain", state=(("random", "random", "write"),)),
    "random.setstate": Effect("plain", state=(("random", "random", "write"),)),
    "random.shuffle": Effect("plain", changes=(0,), state=_draws("random")),
    "random.choice": Effect("part", state=_draws("random")),
    **_table(Effect("holds", "list()", state=_draws("random")), "random.sample random.choices"),
    "random.Random": Effect("new", "random.Random()"),
    "random.SystemRandom": Effect("new", "random.Random()", state=_draws("system")),
    "numpy.random.seed": Effect("plain", state=(("random", "numpy", "write"),)),
    "numpy.random.set_state": Effect("plain", state=(("random", "numpy", "write"),)),
    "numpy.random.shuffle": Effect("plain", changes=(0,), state=_draws("numpy")),
    "numpy.random.Generator": Effect("holds", "numpy.random.Generator()"),
    **_table(Effect("plain", state=(("random", "torch", "write"),)), "torch.manual_seed torch.random.manual_seed torch.cuda.manual_seed torch.cuda.manual_seed_all torch.set_rng_state"),
    **_table(
        Effect("new", "torch.Tensor()", state=_draws("torch")),
        "torch.rand torch.randn torch.randint torch.randperm torch.rand_like torch.randn_like torch.randint_like "
        "torch.bernoulli torch.multinomial torch.normal torch.poisson torch.initial_seed torch.seed",
    ),
    **_table(Effect("plain", state=(("random", "tensorflow", "write"),)), "tensorflow.random.set_seed tensorflow.set_random_seed"),
    **_table(
        Effect("plain", state=(("random", "tensorflow", "write"), ("random", "numpy", "write"), ("random", "random", "write"))),
        "tensorflow.keras.utils.set_random_seed keras.utils.set_random_seed",
    ),
    **_table(Effect("plain", state=_draws("system")), "os.urandom os.getrandom uuid.uuid1 uuid.uuid4 random.SystemRandom"),
}  # fmt: skip

_PLACE = {
    "os.chdir": Effect("plain", state=updates("cwd")),
    "os.fchdir": Effect("plain", state=updates("cwd")),
    **_table(
        Effect("plain", state=reads("cwd")),
        "os.getcwd os.getcwdb os.path.abspath os.path.realpath os.path.relpath pathlib.Path.cwd pathlib.Path.absolute",
    ),
    **_table(Effect("plain", state=reads("environ")), "os.getenv os.path.expanduser os.path.expandvars os.get_exec_path pathlib.Path.home"),
    **_table(Effect("plain", state=updates("environ")), "os.putenv os.unsetenv dotenv.load_dotenv"),
    **_table(
        Effect("plain", state=reads("files")),
        "os.listdir os.walk os.scandir os.stat os.lstat os.access os.readlink os.path.exists os.path.isfile "
        "os.path.isdir os.path.getsize os.path.getmtime os.path.islink os.path.lexists os.path.ismount os.path.samefile "
        "glob.glob glob.iglob shutil.disk_usage shutil.which",
    ),
    **_table(
        Effect("plain", state=updates("files")),
        "os.remove os.unlink os.mkdir os.makedirs os.rename os.replace os.rmdir os.removedirs os.renames os.link "
        "os.symlink os.chmod os.chown os.truncate os.utime os.mkfifo os.open os.write os.close os.umask",
    ),
    **_table(PROCESS, "os.system os.popen os.fork os.kill os.killpg os.execv os.execvp os.execve os.spawnv os.posix_spawn os.nice os._exit os.abort os.waitpid os.wait"),
    **_table(
        PURE,
        "os.path.join os.path.basename os.path.dirname os.path.split os.path.splitext os.path.normpath os.path.isabs "
        "os.path.commonpath os.path.commonprefix os.fspath os.fsencode os.fsdecode os.cpu_count os.getpid os.uname os.path.normcase",
    ),
    **_table(
        Effect("new", "pathlib.Path()"),
        "pathlib.Path pathlib.PurePath pathlib.PosixPath pathlib.PurePosixPath pathlib.WindowsPath",
    ),
}  # fmt: skip

_CLOCK = _table(
    CLOCK,
    "time.time time.time_ns time.perf_counter time.perf_counter_ns time.monotonic time.monotonic_ns "
    "time.process_time time.thread_time time.ctime time.localtime time.gmtime time.strftime time.asctime "
    "datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today "
    "pandas.Timestamp.now pandas.Timestamp.today pandas.Timestamp.utcnow timeit.default_timer timeit.timeit timeit.repeat",
)

_CHANGERS = {  # functions that change what they are given
    **_table(Effect("plain", changes=(0,), stores=True), "heapq.heappush bisect.insort bisect.insort_left bisect.insort_right operator.setitem operator.delitem operator.iadd operator.iconcat operator.ior operator.imul"),
    **_table(Effect("part", changes=(0,), stores=True), "heapq.heappop heapq.heapreplace heapq.heappushpop"),
    "heapq.heapify": Effect("plain", changes=(0,)),
    **_table(Effect("plain", changes=(0,)), "numpy.put numpy.copyto numpy.fill_diagonal numpy.place numpy.putmask numpy.put_along_axis"),
    "copy.copy": Effect("holds"),
    "copy.deepcopy": NEW,
    "functools.reduce": Effect("part", args="consume"),
    "functools.partial": Effect("holds", "functools.partial()", calls=False),
    # the file was opened, and so told of, by another call
    **_table(Effect("plain", changes=(1,)), "pickle.dump json.dump yaml.dump yaml.safe_dump cloudpickle.dump dill.dump"),
    **_table(Effect("new", args="consume"), "pickle.load json.load yaml.safe_load yaml.load tomllib.load cloudpickle.load dill.load"),
    "csv.writer": Effect("holds", "csv.writer()"),
    "csv.DictWriter": Effect("holds", "csv.writer()"),
    "csv.reader": Effect("holds", "iterator()"),
    "csv.DictReader": Effect("holds", "iterator()"),
    "gc.collect": PURE,
    "warnings.warn": Effect("plain", state=updates("modules", "warnings")),
    "time.sleep": PURE,
    "IPython.display.display": Effect("plain", state=updates("display")),
    "IPython.get_ipython": _BUILTINS["get_ipython"],
    "IPython.display.clear_output": Effect("plain", state=updates("display")),
    "sys.exit": Effect("plain"),
    **_table(EVERYTHING, "sys._getframe sys._current_frames inspect.currentframe inspect.stack inspect.trace runpy.run_path runpy.run_module code.interact cProfile.run profile.run pdb.set_trace"),
}  # fmt: skip


class Family(NamedTuple):
    """What holds for everything in a library that is not said one by one.

    Args:
        quiet: its functions leave what they are given as it is.
        type: of what its functions return, where it is one and the same.
        state: what its functions do to the state outside the names.
        result: of its functions.
    """

    quiet: bool = True
    type: str = ""
    state: tuple[State, ...] = ()
    result: Result = "new"


_SHOWS = updates("display", "figure")
_NET = updates("network")
_FAMILIES: dict[str, Family] = {
    **dict.fromkeys(
        "math cmath statistics re string textwrap fractions decimal datetime hashlib base64 struct zlib typing json "
        "calendar unicodedata difflib numbers html binascii zoneinfo dateutil pytz keyword tokenize ast dis "
        "urllib.parse platform colorsys shlex time traceback hmac enum abc dataclasses locale errno".split(),
        Family(),
    ),
    **dict.fromkeys("itertools collections functools operator copy types contextlib weakref queue array tqdm".split(), Family(result="holds")),
    "random": Family(state=_draws("random")),
    "secrets": Family(state=_draws("system")),
    "uuid": Family(),
    "os": Family(state=updates("files")),
    "os.path": Family(),
    "pathlib": Family(),
    "sys": Family(state=updates("modules", "sys")),
    "glob": Family(state=reads("files")),
    **dict.fromkeys("shutil tempfile zipfile tarfile gzip bz2 lzma joblib h5py dill cloudpickle pickle shelve dbm sqlite3 fileinput configparser csv io yaml toml tomllib netCDF4 imageio PIL openpyxl xlrd wave sqlalchemy duckdb pyarrow.parquet pyarrow.csv".split(), Family(quiet=True, state=updates("files"), result="holds")),
    "numpy": Family(type="numpy.ndarray()"),
    "numpy.random": Family(type="numpy.ndarray()", state=_draws("numpy")),
    "pandas": Family(type="pandas.DataFrame()"),
    "scipy": Family(type="numpy.ndarray()"),
    "sklearn": Family(),
    "sklearn.datasets": Family(),
    **dict.fromkeys("xgboost lightgbm catboost statsmodels polars pyarrow category_encoders imblearn shap".split(), Family(result="perhaps")),
    **dict.fromkeys("matplotlib pylab seaborn plotly altair bokeh holoviews ggplot plotnine".split(), Family(state=_SHOWS, result="perhaps")),
    "IPython.display": Family(result="holds"),
    "IPython": Family(quiet=False, state=updates("ipython")),
    "torch": Family(type="torch.Tensor()", result="perhaps"),
    "torch.nn": Family(state=_draws("torch"), result="holds"),
    "torch.nn.init": Family(quiet=False, state=_draws("torch")),
    "torch.optim": Family(result="holds"),
    "torch.utils": Family(result="holds"),
    "torchvision": Family(state=_draws("torch"), result="perhaps"),
    "tensorflow": Family(result="perhaps"),
    "tensorflow.random": Family(state=_draws("tensorflow")),
    "tensorflow.keras": Family(state=_draws("tensorflow"), result="holds"),
    "tf_keras": Family(state=_draws("tensorflow"), result="holds"),
    "keras": Family(state=_draws("tensorflow"), result="holds"),
    **dict.fromkeys(
        "requests urllib http httpx aiohttp ftplib smtplib socket websocket websockets ssl boto3 botocore google vertexai openai "
        "anthropic huggingface_hub gcsfs s3fs kaggle wget bs4 selenium paramiko pymongo redis psycopg2 mysql pymysql "
        "snowflake elasticsearch datasets transformers kfp mlflow wandb yfinance pandas_gbq gspread grpc azure".split(),
        Family(quiet=False, state=_NET, result="perhaps"),
    ),
    "urllib.parse": Family(),
    **dict.fromkeys("subprocess multiprocessing pexpect sh ray dask".split(), Family(quiet=False, state=(*updates("process"), *updates("files")), result="perhaps")),
    **dict.fromkeys("threading _thread asyncio sched concurrent.futures".split(), Family(quiet=False, state=updates("threads"), result="perhaps")),
    "signal": Family(quiet=False, state=updates("signals")),
    "atexit": Family(quiet=False, state=updates("process")),
    "warnings": Family(state=updates("modules", "warnings")),
    "logging": Family(quiet=True, state=updates("modules", "logging"), result="perhaps"),
    "getpass": Family(state=updates("input")),
    "importlib": Family(state=updates("modules", "sys"), result="perhaps"),
    "locale": Family(state=updates("modules", "locale")),
    "gc": Family(state=updates("modules", "gc"), result="perhaps"),
}  # fmt: skip

_OPTIONS = frozenset(  # functions that set options of their library
    "set_option reset_option set_printoptions seterr seterrcall setbufsize set_theme set_style set_context set_palette "
    "set_color_codes set reset_defaults reset_orig rc rcdefaults rc_file rc_file_defaults use set_config set_backend "
    "set_default_dtype set_default_device set_default_tensor_type set_grad_enabled set_num_threads setcontext getcontext filterwarnings "
    "simplefilter resetwarnings basicConfig disable captureWarnings setLoggerClass addLevelName setlocale "
    "set_floatx set_image_data_format enable_eager_execution disable_eager_execution set_verbosity set_log_level "
    "setrecursionlimit settrace setprofile enable set_seed set_matplotlib_formats set_epsilon".split()
)
_FIGURES = frozenset({"matplotlib", "pylab", "seaborn"})
_WRITERS = ("to_csv", "to_parquet", "to_json", "to_excel", "to_pickle", "to_feather", "to_hdf", "to_html", "to_latex",
            "to_markdown", "to_orc", "to_stata", "to_xml", "to_sql", "to_gbq", "to_clipboard", "savez", "savez_compressed", "savetxt",
            "save", "savefig", "imsave", "tofile", "dump", "memmap", "imwrite", "write_csv", "write_parquet",
            "write_table", "write_html", "write_image", "save_model", "save_weights", "save_pretrained", "export")  # fmt: skip
_TEXTS = ("to_csv", "to_json", "to_html", "to_latex", "to_markdown", "to_xml")  # give text where no file is named
_READERS = ("load", "loadtxt", "genfromtxt", "fromfile", "imread", "load_model", "load_weights", "scan_csv",
            "scan_parquet", "read_table", "loadmat")  # fmt: skip
_VIEWS = frozenset(
    "asarray asanyarray ascontiguousarray asfortranarray reshape ravel squeeze transpose swapaxes moveaxis rollaxis "
    "expand_dims broadcast_to broadcast_arrays atleast_1d atleast_2d atleast_3d diagonal array_split split hsplit vsplit "
    "real imag flip fliplr flipud rot90 require frombuffer einsum view T DataFrame Series Index array matrix set_axis "
    "infer_objects astype iterrows itertuples items groupby rolling expanding resample pipe apply".split()
)


def function(path: str, given: Given) -> Effect:
    """What calling something of a module does.

    Args:
        path: dotted, ``pandas.read_csv``; Python's own names begin with ``builtins.``.
        given: the arguments.
    """
    module, _, name = path.rpartition(".")
    if module == "builtins":
        return _builtin(name, given)
    for table in (_RANDOM, _PLACE, _CLOCK, _CHANGERS):
        if path in table:
            return _with_arguments(table[path], path, given)
    root = path.partition(".")[0]
    if root == "sklearn":
        return _sklearn(path, name, given)
    if name in _ALTERS and module.count(".") and module not in _FAMILIES:
        return Effect("part", state=stored(module))
    if name in _OPTIONS and root not in ("random", "sched", "signal", "requests"):
        return Effect("perhaps", state=updates("modules", root))
    found = family(path)
    if found is None and root in sys.stdlib_module_names:
        found = Family(result="perhaps")
    if found is None:
        return _unlisted(path, given)
    effect = Effect(
        found.result,
        _type(path, name, found),
        args="keep" if found.quiet else "hand",
        state=found.state,
    )
    return _named(effect, path, name, given)


_CHANCY = re.compile(
    "Forest|Tree|Boost|SGD|MLP|KMeans|Random|Bagging|TSNE|NMF|FastICA|Perceptron|PassiveAggressive|Isolation|Spectral|"
    "RBM|GaussianMixture|Shuffle|Split|Search|Dummy|LinearSVC|Latent|MiniBatch|Imputer|Quantile|MDS|PCA|SVD|"
    "split|shuffle|sample|permutation|cross_val|learning_curve|make_"
)
CHANCE: tuple[State, ...] = (("chance", "numpy", "update"),)


def _sklearn(path: str, name: str, given: Given) -> Effect:
    """scikit-learn: whatever has no `random_state` of its own draws from NumPy's generator."""
    if name.startswith("fetch_"):
        return Effect("new", state=(*_NET, *updates("files")))
    if name in ("set_config", "config_context"):
        return Effect("perhaps", state=updates("modules", "sklearn"))
    seeded = "random_state" in given.names or not _CHANCY.search(name)
    if name[:1].isupper():
        return _with_arguments(Effect("holds", f"{path}{'' if not seeded else '.seeded'}()"), path, given)
    return _with_arguments(Effect("new", state=() if seeded else CHANCE), path, given)


_ALTERS = frozenset(  # methods by which a module's data is changed: `sys.path.insert`, `helper.cache.append`
    "append extend insert remove pop popitem clear sort reverse update setdefault add discard appendleft popleft".split()
)


def _type(path: str, name: str, found: Family) -> str:
    """The type of what a library's function returns: a class makes its instances."""
    if name[:1].isupper():
        return f"{path}()"
    if found.type:
        return found.type
    return f"{path}()"


def family(path: str) -> Family | None:
    """What is known of the library that a path belongs to: of its nearest part."""
    while path:
        if path in _FAMILIES:
            return _FAMILIES[path]
        path = path.rpartition(".")[0]
    return None


def _unlisted(path: str, given: Given) -> Effect:
    """A library that nothing is said of here: its functions may do anything to what they are given."""
    effect = UNKNOWN._replace(type=f"{path}()")
    return _named(effect, path, path.rpartition(".")[2], given)


def _named(effect: Effect, path: str, name: str, given: Given) -> Effect:
    """What a name says in whatever library: readers, writers, views, drawing."""
    root = path.partition(".")[0]
    if name.startswith("read_") or name in _READERS:
        effect = effect._replace(result="new", state=_with_file(effect.state, _file(given, (0,), "read")))
    elif name in _TEXTS and not given.number and not given.names & {"path_or_buf", "buf"}:
        effect = effect._replace(result="plain")
    elif name in _WRITERS:
        effect = effect._replace(result="plain", state=_with_file(effect.state, _file(given, (0, 1), "write")))
    elif name.startswith("fetch_") or name in ("load_dataset", "from_pretrained", "get_file", "load_data", "urlopen"):
        effect = effect._replace(state=(*effect.state, *_NET, *updates("files")))
    elif name in _VIEWS and effect.result == "new":
        effect = effect._replace(result="perhaps")
    elif root == "numpy" and name in ("default_rng", "RandomState"):
        seeded = given.number or "seed" in given.names
        effect = Effect("new", "numpy.random.Generator()", state=() if seeded else _draws("system"))
    elif root in ("statsmodels", "patsy") and isinstance(given.literal(0, "formula"), str):
        effect = effect._replace(expressions=0 if 0 in given.constants else "formula")
    elif path in ("pandas.eval", "numexpr.evaluate", "numexpr.re_evaluate"):
        effect = _evaluates(effect, given, 0, "expr")
    elif root in ("duckdb", "pandasql") and name in ("sql", "query", "execute", "sqldf"):
        effect = _evaluates(effect, given, 0, "query")
    return _with_arguments(effect, path, given)


def _evaluates(effect: Effect, given: Given, position: int, name: str) -> Effect:
    """A call that evaluates text with the names around it."""
    place: int | str = position if position in given.constants else name
    if isinstance(given.constants.get(place), str):
        return effect._replace(expressions=place)
    return effect._replace(everything=True)


def _with_arguments(effect: Effect, path: str, given: Given) -> Effect:
    """What arguments say in whatever call: ``out=x``, ``inplace=True``, ``copy=False``."""
    if "out" in given.names:
        effect = effect._replace(changes=(*effect.changes, "out"))
    if given.constants.get("inplace") is True:
        effect = effect._replace(receiver="change", changes=(*effect.changes, 0))
    if given.constants.get("copy") is False or given.constants.get("copy_X") is False:
        effect = effect._replace(result="perhaps", args="hand")
    if path in ("datetime.datetime.now", "time.strftime") or effect is not CLOCK:
        return effect
    timed = path in ("time.ctime", "time.localtime", "time.gmtime", "time.asctime")
    return PURE if timed and given.number else effect


def _builtin(name: str, given: Given) -> Effect:
    if name == "open":
        return Effect("new", "open()", state=(_file(given, (0,), _opened(given)),))
    if name in ("locals", "vars", "dir") and not given.number:
        return EVERYTHING
    if name == "vars":
        return Effect("part")
    if name == "dir":
        return PURE
    if name == "iter" and given.number > 1:
        return Effect("holds", "iterator()")
    if name == "type" and given.number == 1:
        return Effect("part")
    return _with_arguments(_BUILTINS.get(name, NEW), "builtins", given)


def _opened(given: Given) -> Mode:
    """What `open` does to the file, by its mode."""
    if not given.has(1, "mode"):
        return "read"
    mode = given.literal(1, "mode")
    if not isinstance(mode, str) or "+" in mode or "a" in mode:
        return "update"
    return "write" if set(mode) & set("wx") else "read"


def _with_file(state: tuple[State, ...], file: State) -> tuple[State, ...]:
    """What a call does, with the one file that it opens for all the files that others like it open."""
    return (*(one for one in state if one[0] != "files"), file)


def _file(given: Given, positions: Iterable[int], mode: Mode) -> State:
    """A file that a call opens: named, if it is a literal; an address is the network."""
    names = ("path", "filepath_or_buffer", "path_or_buf", "io", "fname", "file", "filename", "buf", "excel_writer", "path_or_buffer")
    literal = next((text for text in map(given.constants.get, positions) if isinstance(text, str)), None)
    for name in names:
        literal = given.constants.get(name, literal)
    if not isinstance(literal, str) or isinstance(literal, Partly):
        return ("files", "", "update" if mode == "write" else mode)
    if "://" in literal:
        return ("network", "", "update")
    return ("files", literal, mode)


def loaded(path: str) -> tuple[State, ...]:
    """What looking at something of a module does (``os.environ``)."""
    for prefix, state in _LOADED.items():
        if path == prefix or path.startswith(prefix + "."):
            return state
    return ()


_LOADED: dict[str, tuple[State, ...]] = {
    "os.environ": reads("environ"),
    "os.environb": reads("environ"),
    "sys.argv": reads("process"),
    "sys.path": (("modules", "sys.path", "read"),),
    "sys.stdin": updates("input"),
    "sys.stdout": (),
}


def stored(path: str) -> tuple[State, ...]:
    """What changing something of a module does (``os.environ["X"] = ...``, ``pd.options.a = 1``)."""
    if path == "os.environ" or path.startswith("os.environ."):
        return updates("environ")
    if path == "sys.path" or path.startswith("sys.path."):
        return updates("modules", "sys.path")
    root = path.partition(".")[0]
    return updates("modules", root)


def is_everything(path: str) -> bool:
    """Whether looking at it gives the names of the notebook away."""
    return path in ("__main__", "sys.modules") or path.startswith(("__main__.", "sys.modules."))
