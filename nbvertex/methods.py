"""What is known of methods: by the type of the object where it is known, else by their names."""

from __future__ import annotations

from nbvertex.library import (
    CHANCE,
    NEW,
    PURE,
    UNKNOWN,
    Effect,
    Given,
    Result,
    _evaluates,
    _named,
    family,
    updates,
)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONTAINERS = _names("list() dict() set() bytearray() collections.deque() collections.defaultdict() collections.Counter() collections.OrderedDict() collections.ChainMap() collections.UserDict() collections.UserList() array.array()")  # fmt: skip
FRAMES = _names("pandas.DataFrame() pandas.Series() pandas.Index()")
LASTING = CONTAINERS | FRAMES | _names("tuple() frozenset() range() numpy.ndarray() torch.Tensor() function() type() memoryview()")  # iterating leaves it as it is
LAZY = _names("iterator() generator() csv.reader() open()")

STORES = _names("append extend insert add update setdefault appendleft extendleft put push put_nowait register enqueue add_module register_module register_buffer")  # fmt: skip
TAKES = _names("pop popitem popleft get_nowait dequeue fetchone fetchmany fetchall")
CHANGES = STORES | TAKES | _names(
    "remove clear sort reverse discard rotate intersection_update difference_update symmetric_difference_update subtract "
    "fill resize partition itemset setflags setfield byteswap_inplace move_to_end __setitem__ __delitem__ __setattr__ __delattr__ "
    "__iadd__ __ior__ __next__ send throw close fit partial_fit fit_transform fit_predict fit_resample fit_generator train train_on_batch "
    "eval_ load_state_dict load_weights load_model set_params set_weights set_output compile seed setstate set_state shuffle step zero_grad backward "
    "write writelines writerow writerows writeheader read readline readlines readinto seek truncate flush start stop cancel commit rollback execute "
    "executemany executescript acquire release add_argument parse_args mkdir register_forward_hook build adapt "
    "manual_seed set_index_ insert_one insert_many delete_one delete_many freeze unfreeze"
)  # fmt: skip
PARTS = _names("items keys values most_common elements iterrows itertuples groups")
QUIET = _names(
    # str and bytes
    "capitalize casefold center count encode decode endswith expandtabs find format format_map index isalnum isalpha isascii "
    "isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper ljust lower lstrip maketrans "
    "partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip "
    "swapcase title translate upper zfill hex "
    # containers
    "copy items keys values union intersection difference symmetric_difference issubset issuperset isdisjoint most_common "
    # numbers and arrays
    "sum mean std var min max argmax argmin argsort any all round astype reshape ravel flatten transpose squeeze tolist item dot "
    "cumsum cumprod clip nonzero prod ptp conj trace searchsorted repeat take compress swapaxes diagonal tobytes view numpy "
    # pandas
    "head tail info describe value_counts unique nunique isna isnull notna notnull fillna dropna rename drop merge "
    "groupby agg aggregate apply applymap map pivot pivot_table melt sort_values sort_index reset_index set_index assign corr cov "
    "quantile median mode abs diff shift rolling expanding resample to_numpy to_dict to_frame to_list select_dtypes duplicated "
    "drop_duplicates isin between nlargest nsmallest iterrows itertuples to_string to_timestamp to_period tz_localize "
    "tz_convert first last nth ngroups size cumcount rank pct_change interpolate ffill bfill add_prefix add_suffix "
    "explode stack unstack crosstab where mask filter idxmax idxmin kurt skew sem mad memory_usage to_records equals "
    "strftime isoformat timestamp date time weekday total_seconds isocalendar toordinal "
    # estimators
    "predict predict_proba predict_log_proba decision_function transform inverse_transform score get_params get_feature_names_out "
    "summary get_weights state_dict parameters named_parameters evaluate "
    # text of an object
    "isoformat as_posix with_suffix with_name joinpath relative_to is_absolute group groups groupdict span"
)  # fmt: skip
DRAWS = _names("plot hist boxplot bar barh scatter pie line area kde density hexbin show imshow savefig")
FITS = _names("fit partial_fit fit_transform fit_predict fit_resample set_params set_output train adapt")


def method(kind: str, name: str, given: Given, *, dropped: bool) -> Effect:
    """What calling a method does.

    Args:
        kind: the type of the object, or empty.
        name: of the method.
        given: the arguments.
        dropped: the result is thrown away.
    """
    if kind in CONTAINERS:
        effect = _container(kind, name)
    elif kind in FRAMES:
        effect = _frame(name, given)
    elif kind == "numpy.ndarray()":
        effect = _array(name, given)
    elif kind in ("numpy.random.Generator()", "random.Random()", "torch.Generator()"):
        effect = Effect("new", receiver="change", changes=(0,) if name == "shuffle" else ())
    elif kind == "open()":
        lines = name == "readlines"
        effect = Effect("new" if lines else "plain", "list()" if lines else "", receiver="change")
    elif kind in LAZY:
        effect = Effect("part", receiver="change")
    elif kind == "pathlib.Path()":
        effect = _path(name, given)
    elif kind.startswith("IPython."):
        effect = Effect("perhaps", args="hand", everything=True, state=updates("ipython"))
    elif kind in ("tuple()", "frozenset()"):
        effect = Effect("part") if name != "count" else PURE
    elif kind and (found := family(kind)) is not None and kind not in ("function()", "type()"):
        effect = _instance(kind, name, given, quiet=found.quiet, state=found.state, dropped=dropped)
    else:
        effect = _anything(kind, name, given, dropped=dropped)
    if given.constants.get("inplace") is True:
        effect = effect._replace(receiver="change", result="plain")
    if "out" in given.names:
        effect = effect._replace(changes=(*effect.changes, "out"))
    return effect


def _container(kind: str, name: str) -> Effect:
    if name in TAKES or name == "setdefault":
        return Effect("part", receiver="change", stores=name == "setdefault", args="keep")
    if name in STORES:
        return Effect("plain", receiver="change", stores=True, args="consume" if name in ("extend", "update", "extendleft") else "keep")
    if name in CHANGES or name == "sort":
        return Effect("plain", receiver="change")
    if name in ("count", "index", "isdisjoint", "issubset", "issuperset"):
        return PURE
    if name in ("get", "__getitem__"):
        return Effect("part")
    return Effect("perhaps", kind if name == "copy" else "")


def _frame(name: str, given: Given) -> Effect:
    if name in ("query", "eval"):
        return _evaluates(Effect("new", "pandas.DataFrame()", marked=True), given, 0, "expr")
    if name in ("insert", "pop", "update", "set_flags"):
        return Effect("part" if name == "pop" else "plain", receiver="change", stores=name != "pop")
    if name == "sample" and "random_state" not in given.names:
        return Effect("new", "pandas.DataFrame()", state=updates("random", "numpy"))
    if name in DRAWS:
        return Effect("perhaps", state=updates("display", "figure"))
    if name in ("tolist", "to_list", "to_dict", "unique", "tolist"):
        return Effect("holds", "list()" if name != "to_dict" else "dict()")
    if name in ("to_numpy", "to_records"):
        return Effect("perhaps", "numpy.ndarray()")
    if name in ("sum", "mean", "std", "var", "min", "max", "count", "median", "nunique", "info", "item", "any", "all", "equals"):
        return Effect("new", "pandas.Series()")
    return _named(Effect("new", "pandas.DataFrame()"), f"pandas.DataFrame.{name}", name, given)


def _array(name: str, given: Given) -> Effect:
    if name in ("sort", "fill", "put", "resize", "partition", "itemset", "setflags", "setfield"):
        return Effect("plain", receiver="change")
    if name in ("tolist", "item"):
        return Effect("holds", "list()")
    if name in ("sum", "mean", "std", "var", "min", "max", "argmax", "argmin", "any", "all", "prod", "ptp", "trace"):
        return Effect("new", "numpy.ndarray()")
    return _named(Effect("new", "numpy.ndarray()"), f"numpy.ndarray.{name}", name, given)


def _path(name: str, given: Given) -> Effect:
    if name in ("write_text", "write_bytes", "mkdir", "unlink", "touch", "rename", "replace", "rmdir", "symlink_to", "chmod"):
        return Effect("plain", state=updates("files"))
    if name in ("resolve", "absolute", "cwd"):
        return Effect("new", "pathlib.Path()", state=(("cwd", "", "read"),))
    if name in ("read_text", "read_bytes", "exists", "is_file", "is_dir", "stat", "iterdir", "glob", "rglob", "samefile"):
        return Effect("new", state=(("files", "", "read"),))
    if name == "open":
        return Effect("new", "open()", state=updates("files"))
    return Effect("new", "pathlib.Path()")


def _instance(kind: str, name: str, given: Given, *, quiet: bool, state: tuple, dropped: bool) -> Effect:  # type: ignore[type-arg]
    """A method of a library's object."""
    root = kind.partition(".")[0]
    if root in ("sklearn", "xgboost", "lightgbm", "catboost", "statsmodels", "imblearn"):
        if name in FITS or name.startswith(("fit", "set_")):
            result: Result = "new" if name in ("fit_transform", "fit_predict", "fit_resample") else "self"
            chance = CHANCE if root == "sklearn" and not kind.endswith(".seeded()") else ()
            return Effect(result, receiver="change", stores=True, state=chance)
        return _named(Effect("new", "numpy.ndarray()" if name in ("predict", "transform", "predict_proba") else ""), kind, name, given)
    state = () if root in ("torch", "tensorflow", "keras", "tf_keras") and name not in FITS else state
    known = _anything(kind, name, given, dropped=dropped)
    known = known._replace(state=(*known.state, *state), type=f"{kind[:-2]}.{name}()")
    return known._replace(args="keep") if quiet else known


_GETS = _names("client bq db conn connection session engine index store cursor api collection service table")


def _anything(kind: str, name: str, given: Given, *, dropped: bool) -> Effect:
    """A method of an object whose type is not known, told by its name."""
    if name == "get" and isinstance(given.constants.get(0), str):
        return Effect("part")
    if name in ("query", "eval") and given.number == 1 and not kind:
        return UNKNOWN if _GETS & set(given.root.lower().split("_")) else _evaluates(UNKNOWN._replace(marked=True), given, 0, "expr")
    if name in TAKES:
        return Effect("part", receiver="change")
    if name in STORES:
        return Effect("perhaps", receiver="change", stores=True)
    if name in FITS:
        return Effect("perhaps", receiver="change", stores=True, args="hand")
    if name in CHANGES or (name.endswith("_") and not name.startswith("_")):
        return Effect("perhaps", receiver="change", args="hand")
    if name in QUIET:
        return Effect("perhaps")
    if name in DRAWS:  # by a frame, or on a figure
        return Effect("perhaps", receiver="hand", state=updates("display", "figure"))
    named = _named(UNKNOWN, f"{kind}.{name}", name, given)
    if dropped:
        return named._replace(receiver="change")
    return named


__all__ = ["CONTAINERS", "FRAMES", "LASTING", "LAZY", "NEW", "method"]
