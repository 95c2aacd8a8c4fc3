"""What methods do: by the type of their object where it is known, else by their names."""

from __future__ import annotations

from nbvertex.effects import PURE, UNKNOWN, Effect, Given, Result, reads, updates
from nbvertex.families import FIGURE, draws, family
from nbvertex.library import CHANCE, evaluates, named


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


FRAMES = _names("pandas.DataFrame() pandas.Series() pandas.Index()")
CONTAINERS = _names(
    "list() dict() set() bytearray() json() collections.deque() collections.defaultdict() collections.Counter() "
    "collections.OrderedDict() collections.ChainMap() collections.UserDict() collections.UserList() array.array()"
)
ARRAY = "numpy.ndarray()"
SHELL = "IPython.shell()"
# what is iterated over and stays as it is, and what is used up
LASTING = (
    CONTAINERS | FRAMES | _names("tuple() numpy.ndarray() torch.Tensor() function() type() memoryview()")
)
LAZY = _names("iterator() generator() csv.reader() open()")

_STORES = _names(
    "append extend insert add update setdefault appendleft extendleft put push put_nowait register enqueue add_module "
    "register_module register_buffer"
)
_SPREADS = _names("extend update extendleft")  # of those, the ones that iterate over what they get
_TAKES = _names("pop popitem popleft get_nowait dequeue fetchone fetchmany fetchall")
_FITS = _names(
    "fit partial_fit fit_transform fit_predict fit_resample fit_generator set_params set_output train adapt"
)
CHANGES = (
    _FITS
    | _STORES
    | _TAKES
    | _names(
        "remove clear sort reverse discard rotate intersection_update difference_update symmetric_difference_update subtract "
        "fill resize partition itemset setflags setfield move_to_end __setitem__ __delitem__ __setattr__ __delattr__ __iadd__ "
        "__ior__ __next__ send throw close train_on_batch load_state_dict load_weights set_weights compile seed setstate "
        "set_state shuffle step zero_grad backward write writelines writerow writerows writeheader read readline readlines "
        "readinto seek truncate flush start stop cancel commit rollback execute executemany executescript acquire release "
        "add_argument register_forward_hook build manual_seed eval insert_one insert_many delete_one delete_many freeze unfreeze"
    )
)
_QUIET = _names(
    # str, bytes, numbers, dates
    "capitalize casefold center count encode decode endswith expandtabs find format format_map index isalnum isalpha "
    "isascii isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper ljust lower lstrip "
    "maketrans partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines "
    "startswith strip swapcase title translate upper zfill hex strftime isoformat timestamp weekday total_seconds "
    "isocalendar toordinal group groups groupdict span "
    # containers
    "copy items keys values union intersection difference symmetric_difference issubset issuperset isdisjoint most_common "
    # arrays
    "sum mean std var min max argmax argmin argsort any all round astype reshape ravel flatten transpose squeeze tolist "
    "item dot cumsum cumprod clip nonzero prod ptp conj trace searchsorted repeat take compress swapaxes diagonal tobytes "
    "view numpy "
    # frames
    "head tail info describe value_counts unique nunique isna isnull notna notnull fillna dropna rename drop merge groupby "
    "agg aggregate apply applymap map pivot pivot_table melt sort_values sort_index reset_index set_index assign corr cov "
    "quantile median mode abs diff shift rolling expanding resample to_numpy to_dict to_frame to_list select_dtypes "
    "duplicated drop_duplicates isin between nlargest nsmallest iterrows itertuples to_string to_timestamp to_period "
    "tz_localize tz_convert first last nth ngroups size cumcount rank pct_change interpolate ffill bfill add_prefix "
    "add_suffix explode stack unstack where mask filter idxmax idxmin kurt skew sem mad memory_usage to_records equals "
    # estimators
    "predict predict_proba predict_log_proba decision_function transform inverse_transform score get_params "
    "get_feature_names_out summary get_weights state_dict parameters named_parameters evaluate "
    # paths
    "as_posix with_suffix with_name joinpath relative_to is_absolute"
)
_DRAWN = _names("plot hist boxplot bar barh scatter pie line area kde density hexbin show imshow")
_CLIENTS = _names(
    "client bq db conn connection session engine index store cursor api collection service table"
)
_ESTIMATORS = _names("sklearn xgboost lightgbm catboost statsmodels imblearn")
_NETS = _names("torch tensorflow keras tf_keras torchvision")


def method(kind: str, name: str, given: Given, *, dropped: bool) -> Effect:
    """What calling a method does.

    Args:
        kind: the type of the object, or empty.
        name: of the method.
        given: the arguments.
        dropped: the result is thrown away, so that the call is there for its effect.
    """
    effect = _by_type(kind, name, given, dropped=dropped)
    if given.constants.get("inplace") is True:
        effect = effect._replace(receiver="change", result="plain")
    if "out" in given.names:
        effect = effect._replace(changes=(*effect.changes, "out"))
    return effect


def _by_type(kind: str, name: str, given: Given, *, dropped: bool) -> Effect:
    if kind in CONTAINERS:
        return _container(kind, name)
    if kind in FRAMES:
        return _frame(name, given)
    if kind == ARRAY:
        return _array(name, given)
    if kind in ("numpy.random.Generator()", "random.Random()", "torch.Generator()"):
        return Effect("new", receiver="change", changes=(0,) if name == "shuffle" else ())
    if kind == "open()":
        lines = name == "readlines"
        return Effect("new" if lines else "plain", "list()" if lines else "", receiver="change")
    if kind in LAZY:
        return Effect("part", receiver="change")
    if kind == "pathlib.Path()":
        return _path(name)
    if kind == SHELL:
        return Effect("perhaps", args="hand", everything=True, state=updates("ipython"))
    if kind == "tuple()":
        return PURE if name == "count" else Effect("part")
    if kind and kind not in ("function()", "type()") and family(kind) is not None:
        return _instance(kind, name, given, dropped=dropped)
    return _anything(kind, name, given, dropped=dropped)


def _container(kind: str, name: str) -> Effect:
    if name in _TAKES or name == "setdefault":
        return Effect("part", receiver="change", stores=name == "setdefault")
    if name in _STORES:
        return Effect("plain", receiver="change", stores=True, args="consume" if name in _SPREADS else "keep")
    if name in CHANGES:
        return Effect("plain", receiver="change")
    if name in ("count", "index", "isdisjoint", "issubset", "issuperset"):
        return PURE
    if name in ("get", "__getitem__"):
        return Effect("part")
    return Effect("perhaps", kind if name == "copy" else "")


def _frame(name: str, given: Given) -> Effect:
    if name in ("query", "eval"):
        return evaluates(Effect("new", "pandas.DataFrame()", marked=True), given, "expr")
    if name == "pop":
        return Effect("part", receiver="change")
    if name in ("insert", "update", "set_flags"):
        return Effect("plain", receiver="change", stores=True)
    if name == "sample" and "random_state" not in given.names:
        return Effect("new", "pandas.DataFrame()", state=draws("numpy"))
    if name in _DRAWN:
        return Effect("perhaps", state=FIGURE)
    if name in ("tolist", "to_list", "unique"):
        return Effect("holds", "list()")
    if name == "to_dict":
        return Effect("holds", "dict()")
    if name in ("to_numpy", "to_records"):
        return Effect("perhaps", ARRAY)
    return named(Effect("new", "pandas.DataFrame()"), f"pandas.DataFrame.{name}", name, given)


def _array(name: str, given: Given) -> Effect:
    if name in ("sort", "fill", "put", "resize", "partition", "itemset", "setflags", "setfield"):
        return Effect("plain", receiver="change")
    if name in ("tolist", "item"):
        return Effect("holds", "list()")
    return named(Effect("new", ARRAY), f"numpy.ndarray.{name}", name, given)


def _path(name: str) -> Effect:
    if name in _names(
        "write_text write_bytes mkdir unlink touch rename replace rmdir symlink_to hardlink_to chmod open"
    ):
        return Effect("new", "open()" if name == "open" else "", state=updates("files"))
    if name in _names(
        "read_text read_bytes exists is_file is_dir stat iterdir glob rglob samefile is_symlink"
    ):
        return Effect("new", state=reads("files"))
    if name in ("resolve", "absolute", "cwd"):
        return Effect("new", "pathlib.Path()", state=reads("cwd"))
    return Effect("new", "pathlib.Path()")


def _instance(kind: str, name: str, given: Given, *, dropped: bool) -> Effect:
    """A method of a library's object."""
    root = kind.partition(".")[0]
    if root in _ESTIMATORS:
        return _estimator(kind, name, given)
    if root == "logging":
        sets = name.startswith(("set", "add", "remove"))
        return Effect("perhaps", receiver="hand", state=updates("modules", "logging") if sets else ())
    found = family(kind)
    state = (
        found.state
        if found is not None and (root not in _NETS or name in _FITS or name == "__call__")
        else ()
    )
    known = _anything(kind, name, given, dropped=dropped)
    known = known._replace(state=(*known.state, *state), type=f"{kind[:-2]}.{name}()")
    return known._replace(args="keep") if found is not None and found.quiet else known


def _estimator(kind: str, name: str, given: Given) -> Effect:
    if name in _FITS or name.startswith(("fit", "set_")):
        result: Result = "new" if name in ("fit_transform", "fit_predict", "fit_resample") else "self"
        chance = CHANCE if kind.startswith("sklearn.") and not kind.endswith(".seeded()") else ()
        return Effect(result, receiver="change", stores=True, state=chance)
    gives = ARRAY if name in ("predict", "transform", "predict_proba", "decision_function") else ""
    return named(Effect("new", gives), kind, name, given)


def _anything(kind: str, name: str, given: Given, *, dropped: bool) -> Effect:
    """A method of an object whose type tells nothing, by its name."""
    if name == "get" and isinstance(given.constants.get(0), str):
        return Effect("part")
    if name in ("query", "eval") and given.number and not kind:
        client = _CLIENTS & set(given.root.lower().split("_"))
        return UNKNOWN if client else evaluates(UNKNOWN._replace(marked=True), given, "expr")
    if name in _TAKES:
        return Effect("part", receiver="change")
    if name in _STORES:
        return Effect("perhaps", receiver="change", stores=True)
    if name in _FITS:
        return Effect("perhaps", receiver="change", stores=True, args="hand")
    if name in CHANGES or (name.endswith("_") and not name.startswith("_")):
        return Effect("perhaps", receiver="change", args="hand")
    if name in _QUIET:
        return Effect("perhaps")
    if name in _DRAWN:  # by a frame, or on a figure
        return Effect("perhaps", receiver="hand", state=FIGURE)
    effect = named(UNKNOWN, f"{kind}.{name}", name, given)
    return effect._replace(receiver="change") if dropped else effect
