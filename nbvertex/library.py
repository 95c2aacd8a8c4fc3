"""What functions do: Python's own and those of the libraries that notebooks use, none of them imported."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Iterable

from nbvertex.effects import (
    EVERYTHING,
    NEW,
    PURE,
    UNKNOWN,
    Effect,
    Given,
    State,
    reads,
    table,
    updates,
    writes,
)
from nbvertex.families import FAMILIES, NETWORK, Family, draws, family
from nbvertex.trace import Mode, Partly

LOCAL = frozenset({"builtins.locals", "builtins.vars", "builtins.dir"})  # in a function: its own names
CHANCE: tuple[State, ...] = (("chance", "numpy", "update"),)  # draws that nobody sees

_BUILTINS = table(
    (Effect("holds"), " ".join(name for name in dir(builtins) if isinstance(getattr(builtins, name), type))),
    (
        PURE,
        (
            "len isinstance issubclass repr ascii str int float bool complex abs round hash id callable chr ord hex bin oct "
            "format pow divmod hasattr range slice bytes object property staticmethod classmethod dir"
        ),
    ),
    (Effect("plain", changes=("file",)), "print"),
    (Effect("holds", "list()", args="consume"), "list sorted"),
    (Effect("holds", "set()", args="consume"), "set"),
    (Effect("holds", "dict()", args="consume"), "dict"),
    (Effect("holds", "tuple()", args="consume"), "tuple frozenset"),
    (Effect("holds", "iterator()", args="consume"), "enumerate zip map filter reversed iter aiter"),
    (Effect("holds", args="consume"), "sum"),
    (Effect("part", args="consume"), "min max"),
    (Effect("plain", args="consume"), "any all"),
    (Effect("part", changes=(0,)), "next anext"),
    (Effect("part"), "getattr super type vars"),
    (Effect("plain", changes=(0,), stores=True), "setattr delattr"),
    (Effect("new", "bytearray()", args="consume"), "bytearray"),
    (Effect("perhaps", "memoryview()"), "memoryview"),
    (EVERYTHING, "eval exec globals breakpoint"),
    (Effect("perhaps"), "__import__"),
    (Effect("plain", state=updates("input")), "input"),
    (Effect("plain", state=updates("display")), "help display"),
    (Effect("plain", state=updates("process")), "exit quit"),
    (Effect("new", "IPython.shell()", state=reads("ipython")), "get_ipython"),
)
_RANDOM = table(
    (Effect("plain", state=writes("random", "random")), "random.seed random.setstate"),
    (Effect("plain", state=writes("random", "numpy")), "numpy.random.seed numpy.random.set_state"),
    (
        Effect("plain", state=writes("random", "torch")),
        "torch.manual_seed torch.random.manual_seed torch.cuda.manual_seed torch.cuda.manual_seed_all torch.set_rng_state",
    ),
    (
        Effect("plain", state=writes("random", "tensorflow")),
        "tensorflow.random.set_seed tensorflow.set_random_seed",
    ),
    (
        Effect(
            "plain",
            state=(*writes("random", "tensorflow"), *writes("random", "numpy"), *writes("random", "random")),
        ),
        "tensorflow.keras.utils.set_random_seed keras.utils.set_random_seed",
    ),
    (Effect("plain", changes=(0,), state=draws("random")), "random.shuffle"),
    (Effect("plain", changes=(0,), state=draws("numpy")), "numpy.random.shuffle"),
    (Effect("part", state=draws("random")), "random.choice"),
    (Effect("holds", "list()", state=draws("random")), "random.sample random.choices"),
    (Effect("new", "random.Random()"), "random.Random"),
    (Effect("new", "random.Random()", state=draws("system")), "random.SystemRandom"),
    (Effect("holds", "numpy.random.Generator()"), "numpy.random.Generator"),
    (
        Effect("new", "torch.Tensor()", state=draws("torch")),
        (
            "torch.rand torch.randn torch.randint torch.randperm torch.rand_like torch.randn_like torch.randint_like "
            "torch.bernoulli torch.multinomial torch.normal torch.poisson torch.seed"
        ),
    ),
    (Effect("plain", state=draws("system")), "os.urandom os.getrandom uuid.uuid1 uuid.uuid4"),
)
_PLACE = table(
    (Effect("plain", state=updates("cwd")), "os.chdir os.fchdir"),
    (
        Effect("plain", state=reads("cwd")),
        "os.getcwd os.getcwdb os.path.abspath os.path.realpath os.path.relpath pathlib.Path.cwd pathlib.Path.absolute",
    ),
    (
        Effect("plain", state=reads("environ")),
        (
            "os.getenv os.path.expanduser os.path.expandvars os.get_exec_path pathlib.Path.home os.environ.get os.environ.items "
            "os.environ.keys os.environ.values os.environ.copy"
        ),
    ),
    (Effect("plain", state=updates("environ")), "os.putenv os.unsetenv dotenv.load_dotenv"),
    (
        Effect("plain", state=reads("files")),
        (
            "os.listdir os.walk os.scandir os.stat os.lstat os.access os.readlink os.path.exists os.path.isfile os.path.isdir "
            "os.path.getsize os.path.getmtime os.path.islink os.path.lexists os.path.ismount os.path.samefile "
            "shutil.disk_usage shutil.which"
        ),
    ),
    (
        Effect("perhaps", args="hand", state=(*updates("process"), *updates("files"))),
        (
            "os.system os.popen os.fork os.kill os.killpg os.execv os.execvp os.execve os.spawnv os.posix_spawn os.nice "
            "os._exit os.abort os.waitpid os.wait joblib.Parallel"
        ),
    ),
    (
        PURE,
        "os.fspath os.fsencode os.fsdecode os.cpu_count os.getpid os.uname os.strerror os.get_terminal_size",
    ),
    (
        Effect("new", "pathlib.Path()"),
        "pathlib.Path pathlib.PurePath pathlib.PosixPath pathlib.PurePosixPath pathlib.WindowsPath",
    ),
)
_CLOCK = table(
    (
        Effect("plain", state=reads("clock")),
        (
            "time.time time.time_ns time.perf_counter time.perf_counter_ns time.monotonic time.monotonic_ns time.process_time "
            "time.thread_time time.ctime time.localtime time.gmtime time.strftime time.asctime datetime.datetime.now "
            "datetime.datetime.utcnow datetime.datetime.today datetime.date.today pandas.Timestamp.now pandas.Timestamp.today "
            "pandas.Timestamp.utcnow timeit.default_timer timeit.timeit timeit.repeat"
        ),
    ),
)
_TIMES_GIVEN = frozenset(
    {"time.ctime", "time.localtime", "time.gmtime", "time.asctime"}
)  # of a time that is given
_OTHERS = table(
    (
        Effect("plain", changes=(0,), stores=True),
        (
            "heapq.heappush bisect.insort bisect.insort_left bisect.insort_right operator.setitem operator.delitem "
            "operator.iadd operator.iconcat operator.ior operator.imul"
        ),
    ),
    (Effect("part", changes=(0,), stores=True), "heapq.heappop heapq.heapreplace heapq.heappushpop"),
    (
        Effect("plain", changes=(0,)),
        "heapq.heapify numpy.put numpy.copyto numpy.fill_diagonal numpy.place numpy.putmask numpy.put_along_axis",
    ),
    (NEW, "copy.deepcopy"),
    (Effect("part", args="consume"), "functools.reduce"),
    (Effect("holds", "functools.partial()", calls=False), "functools.partial"),
    # the file was opened, and so told of, by another call
    (
        Effect("plain", changes=(1,)),
        "pickle.dump json.dump yaml.dump yaml.safe_dump cloudpickle.dump dill.dump",
    ),
    (
        Effect("new", "json()", args="consume"),
        "json.load json.loads yaml.safe_load yaml.load tomllib.load tomllib.loads toml.load toml.loads",
    ),
    (
        Effect("new", args="consume"),
        "pickle.load pickle.loads cloudpickle.load cloudpickle.loads dill.load dill.loads",
    ),
    (
        PURE,
        "pickle.dumps json.dumps cloudpickle.dumps dill.dumps yaml.safe_dump time.sleep gc.collect sys.exit",
    ),
    (PURE, "sys.stdout.write sys.stdout.flush sys.stderr.write sys.stderr.flush"),
    (Effect("holds", "csv.writer()"), "csv.writer csv.DictWriter"),
    (Effect("holds", "csv.reader()"), "csv.reader csv.DictReader"),
    (
        NEW,
        "io.StringIO io.BytesIO threading.Lock threading.RLock threading.Event threading.Semaphore threading.local",
    ),
    (Effect("plain", state=updates("modules", "warnings")), "warnings.warn"),
    (Effect("perhaps", args="hand", state=updates("threads")), "asyncio.create_task asyncio.ensure_future"),
    (Effect("plain", state=updates("display")), "IPython.display.display IPython.display.clear_output"),
    (_BUILTINS["get_ipython"], "IPython.get_ipython IPython.core.getipython.get_ipython"),
    (
        EVERYTHING,
        (
            "sys._getframe sys._current_frames inspect.currentframe inspect.stack inspect.trace runpy.run_path "
            "runpy.run_module code.interact cProfile.run profile.run pdb.set_trace IPython.embed "
            "dill.load_session dill.load_module dill.dump_session dill.dump_module"
        ),
    ),
)
_TABLES = (_RANDOM, _PLACE, _CLOCK, _OTHERS)

_OPTIONS = frozenset(  # functions that set up their library
    "set_option reset_option set_printoptions seterr seterrcall setbufsize set_theme set_style set_context set_palette "
    "set_color_codes set reset_defaults reset_orig rc rcdefaults rc_file rc_file_defaults use set_config set_backend "
    "set_default_dtype set_default_device set_default_tensor_type set_grad_enabled set_num_threads setcontext getcontext "
    "filterwarnings simplefilter resetwarnings catch_warnings basicConfig disable captureWarnings setLoggerClass "
    "addLevelName setlocale set_floatx set_image_data_format enable_eager_execution disable_eager_execution "
    "set_verbosity set_log_level setrecursionlimit settrace setprofile set_matplotlib_formats set_epsilon set_threshold "
    "enable ion ioff switch_backend init login logout configure initialize_app authenticate_user set_tracking_uri "
    "set_experiment start_run end_run autolog register_matplotlib_converters".split()
)
_SEVERAL = frozenset(
    {"random", "sched", "signal", "requests", "operator"}
)  # where such names mean something else
_ALTERS = frozenset(  # methods by which a module's data is changed: `sys.path.insert`, `helper.cache.append`
    "append extend insert remove pop popitem clear sort reverse update setdefault add discard appendleft popleft".split()
)
_WRITERS = frozenset(
    "to_csv to_parquet to_json to_excel to_pickle to_feather to_hdf to_html to_latex to_markdown to_orc to_stata to_xml "
    "to_sql to_gbq to_clipboard savez savez_compressed savetxt save savefig imsave tofile dump memmap imwrite write_csv "
    "write_parquet write_table write_html write_image save_model save_weights save_pretrained export savemat".split()
)
_TEXTS = frozenset(
    "to_csv to_json to_html to_latex to_markdown to_xml".split()
)  # text where no file is named
_READERS = frozenset(
    "load loadtxt genfromtxt fromfile imread load_model load_weights scan_csv scan_parquet loadmat".split()
)
_FETCHERS = frozenset(
    "load_dataset from_pretrained get_file load_data urlopen urlretrieve snapshot_download".split()
)
_VIEWS = frozenset(
    "asarray asanyarray ascontiguousarray asfortranarray reshape ravel squeeze transpose swapaxes moveaxis rollaxis "
    "expand_dims broadcast_to broadcast_arrays atleast_1d atleast_2d atleast_3d diagonal array_split split hsplit vsplit "
    "real imag flip fliplr flipud rot90 require frombuffer einsum view DataFrame Series Index array matrix set_axis "
    "infer_objects astype iterrows itertuples items groupby rolling expanding resample pipe apply".split()
)
_CHANCY = re.compile(  # of scikit-learn: what draws random numbers
    "Forest|Tree|Boost|SGD|MLP|KMeans|Random|Bagging|TSNE|NMF|FastICA|Perceptron|PassiveAggressive|Isolation|Spectral|"
    "RBM|GaussianMixture|Shuffle|Split|Search|Dummy|LinearSVC|Latent|MiniBatch|Imputer|Quantile|MDS|PCA|SVD|"
    "split|shuffle|sample|permutation|cross_val|learning_curve|make_"
)


_UNPICKLERS = frozenset(
    "pickle _pickle cPickle pickle5 dill cloudpickle joblib shelve torch sklearn.externals.joblib".split()
)


def function(path: str, given: Given) -> Effect:
    """What calling something of a module does.

    Args:
        path: dotted, ``pandas.read_csv``; Python's own names begin with ``builtins.``.
        given: the arguments.
    """
    effect = _function(path, given)
    module, _, name = path.rpartition(".")
    if module in _UNPICKLERS and name in ("load", "loads", "Unpickler", "open", "DbfilenameShelf"):
        return effect._replace(definitions=True)  # pickles name the classes and functions of the notebook
    if name == "read_pickle" or (name == "load" and given.constants.get("allow_pickle") is True):
        return effect._replace(definitions=True)
    return effect


def _function(path: str, given: Given) -> Effect:
    """The same, but for what comes out of files by name."""
    module, _, name = path.rpartition(".")
    if module == "builtins":
        return _builtin(name, given)
    for known in _TABLES:
        if path in known:
            return _with_arguments(known[path], path, given)
    root = path.partition(".")[0]
    if root == "sklearn":
        return _sklearn(path, name, given)
    if name in _ALTERS and module.count(".") and module not in FAMILIES:
        return Effect("part", state=stored(module))
    if name in _OPTIONS and root not in _SEVERAL:
        far = family(path)
        return Effect(
            "perhaps", state=(*updates("modules", root), *(NETWORK if far and far.state == NETWORK else ()))
        )
    found = family(path) or (Family(result="perhaps") if root in sys.stdlib_module_names else None)
    if found is None:
        return named(UNKNOWN._replace(type=f"{path}()"), path, name, given)
    kind = f"{path}()" if name[:1].isupper() or not found.type else found.type
    effect = Effect(found.result, kind, args="keep" if found.quiet else "hand", state=found.state)
    return named(effect, path, name, given)


def _builtin(name: str, given: Given) -> Effect:
    """What one of Python's own functions does."""
    if name == "open":
        return Effect("new", "open()", state=(_file(given, (0,), _opened(given)),))
    if name in ("locals", "vars", "dir") and not given.number:
        return EVERYTHING
    if name == "type" and given.number == 3:
        return Effect("holds", "type()")
    return _with_arguments(_BUILTINS.get(name, NEW), "builtins", given)


def _opened(given: Given) -> Mode:
    """What `open` does to the file, by its mode."""
    if not given.has(1, "mode"):
        return "read"
    mode = given.literal(1, "mode")
    if not isinstance(mode, str) or "+" in mode or "a" in mode:
        return "update"
    return "write" if set(mode) & set("wx") else "read"


def _sklearn(path: str, name: str, given: Given) -> Effect:
    """scikit-learn: whatever has no `random_state` of its own draws from NumPy's generator."""
    if name.startswith("fetch_"):
        return Effect("new", state=(*NETWORK, *updates("files")))
    if name in ("set_config", "config_context"):
        return Effect("perhaps", state=updates("modules", "sklearn"))
    if name in ("make_pipeline", "make_union", "make_column_transformer"):
        return Effect("holds", f"{path}()")
    seeded = "random_state" in given.names or not _CHANCY.search(name)
    if name[:1].isupper():
        return _with_arguments(Effect("holds", f"{path}{'.seeded' if seeded else ''}()"), path, given)
    return _with_arguments(Effect("new", state=() if seeded else CHANCE), path, given)


def named(effect: Effect, path: str, name: str, given: Given) -> Effect:
    """What a name says in whatever library: readers, writers, views, text that is evaluated.

    Args:
        effect: what is known without the name.
        path: of the function, or the type and the method.
        name: its last part.
        given: the arguments.
    """
    root = path.partition(".")[0]
    if name.startswith("read_") or name in _READERS:
        effect = effect._replace(result="new", state=_with_file(effect.state, _file(given, (0,), "read")))
    elif name in _TEXTS and not given.number and not given.names & {"path_or_buf", "buf"}:
        effect = effect._replace(result="plain")
    elif name in _WRITERS:
        effect = effect._replace(
            result="plain", state=_with_file(effect.state, _file(given, (0, 1), "write"))
        )
    elif name.startswith("fetch_") or name in _FETCHERS:
        effect = effect._replace(state=(*effect.state, *NETWORK, *updates("files")))
    elif name in _VIEWS and effect.result == "new":
        effect = effect._replace(result="perhaps")
    elif root == "numpy" and name in ("default_rng", "RandomState"):
        seeded = given.number or "seed" in given.names
        effect = Effect("new", "numpy.random.Generator()", state=() if seeded else draws("system"))
    elif root == "scipy" and name == "rvs" and "random_state" not in given.names:
        effect = effect._replace(state=draws("numpy"))
    elif root in ("statsmodels", "patsy") and isinstance(given.literal(0, "formula"), str):
        effect = effect._replace(expressions=0 if 0 in given.constants else "formula")
    elif path in ("pandas.eval", "numexpr.evaluate", "numexpr.re_evaluate"):
        effect = evaluates(effect, given, "expr")
    elif root in ("duckdb", "pandasql") and name in ("sql", "query", "execute", "sqldf"):
        effect = evaluates(effect, given, "query")
    elif name == "import_module":
        module = str(given.constants.get(0, "")).partition(".")[0]
        effect = Effect("perhaps", state=reads("imports", module))
    return _with_arguments(effect, path, given)


def evaluates(effect: Effect, given: Given, name: str) -> Effect:
    """A call that evaluates a text, its first argument, with the names around it."""
    place: int | str = 0 if 0 in given.constants else name
    if isinstance(given.constants.get(place), str):
        return effect._replace(expressions=place)
    return effect._replace(everything=True)


def _with_arguments(effect: Effect, path: str, given: Given) -> Effect:
    """What arguments say in whatever call: ``out=x``, ``inplace=True``, ``copy=False``, a time, no seed."""
    if "out" in given.names:
        effect = effect._replace(changes=(*effect.changes, "out"))
    if given.constants.get("inplace") is True:
        effect = effect._replace(receiver="change", changes=(*effect.changes, 0))
    if given.constants.get("copy") is False or given.constants.get("copy_X") is False:
        effect = effect._replace(result="perhaps", args="hand")
    if path.endswith(".seed") and not given.number and not given.names:
        effect = effect._replace(state=(*effect.state, *draws("system")))
    return PURE if path in _TIMES_GIVEN and given.number else effect


_FILE_NAMES = "path filepath_or_buffer path_or_buf io fname file filename buf excel_writer path_or_buffer filepath".split()


def _file(given: Given, positions: Iterable[int], mode: Mode) -> State:
    """A file that a call opens: named, if it is a literal; an address is the network."""
    places: tuple[int | str, ...] = (*_FILE_NAMES, *positions)
    literals = [given.constants.get(place) for place in places]
    name = next((text for text in literals if isinstance(text, str)), None)
    if name is None or isinstance(name, Partly):
        return ("files", "", "update" if mode == "write" else mode)
    return ("network", "", "update") if "://" in name else ("files", name, mode)


def _with_file(state: tuple[State, ...], file: State) -> tuple[State, ...]:
    """What a call does, with the one file that it opens for all the files that others like it open."""
    return (*(one for one in state if one[0] != "files"), file)


def is_own(path: str) -> bool:
    """May something be of a module that lies beside the notebook? It is of none that is known here."""
    root = path.removesuffix("()").partition(".")[0]
    return bool(root) and root not in sys.stdlib_module_names and root not in _TYPES and family(root) is None


_TYPES = frozenset(
    "list dict set tuple function type iterator generator open json builtins bytearray memoryview".split()
)

_LOADED = {
    "os.environ": reads("environ"),
    "os.environb": reads("environ"),
    "sys.argv": reads("process"),
    "sys.path": reads("modules", "sys.path"),
    "sys.stdin": updates("input"),
}


def loaded(path: str) -> tuple[State, ...]:
    """What looking at something of a module does (``os.environ``)."""
    return next(
        (state for known, state in _LOADED.items() if path == known or path.startswith(f"{known}.")), ()
    )


def stored(path: str) -> tuple[State, ...]:
    """What changing something of a module does (``os.environ["X"] = ...``, ``pd.options.a = 1``)."""
    if path == "os.environ" or path.startswith("os.environ."):
        return updates("environ")
    if path == "sys.path" or path.startswith("sys.path."):
        return updates("modules", "sys.path")
    return updates("modules", path.partition(".")[0])
