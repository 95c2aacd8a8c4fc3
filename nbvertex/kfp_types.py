"""Of which kind of artifact a value is, as far as the code that makes it tells."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from nbvertex import ipython_syntax
from nbvertex.pipeline import Pipeline

Kind: TypeAlias = Literal["Artifact", "Dataset", "Model"]

_DATASETS = re.compile(
    r"(pandas|polars|dask\.dataframe|pyarrow|cudf|modin\.pandas)\.(read_\w+|scan_\w+|DataFrame|LazyFrame|Table|concat|merge"
    r"|json_normalize|from_dict|get_dummies|table|date_range)"
    r"|numpy\.(loadtxt|genfromtxt|load|array|zeros|ones|arange|linspace)|sklearn\.datasets\.\w+|sklearn\.model_selection\.train_test_split|datasets\.load_dataset"
    r"|seaborn\.load_dataset|tensorflow\.data\.Dataset\.\w+|torch\.utils\.data\.\w+"
)
_MODELS = re.compile(
    r"(sklearn|xgboost|lightgbm|catboost|statsmodels|keras|tensorflow\.keras|torch\.nn)\.(\w+\.)*[A-Z]\w*"
    r"|sklearn\.pipeline\.make_pipeline|(xgboost|lightgbm)\.train|transformers\.\w+\.from_pretrained"
)
_NO_MODELS = re.compile(
    r".*(KFold|Split|Display|Scaler|Encoder|Vectorizer|Imputer|Dataset|DMatrix|Loader|Callback|Error|Warning)$"
)
_SAME_KIND = frozenset(  # methods of a table that give a table, and of a model that give the model
    "assign dropna fillna drop copy rename reset_index set_index sort_values sort_index merge join query filter head tail sample "
    "astype groupby pivot pivot_table melt explode drop_duplicates apply pipe round clip where mask to_frame reindex "
    "with_columns select collect lazy fit partial_fit set_params eval train to".split()
)  # fmt: skip


def kinds(pipeline: Pipeline) -> Mapping[str, Kind]:
    """Name -> its kind, of those whose kind can be told; a name that is made in several ways is of the last."""
    made: dict[str, Kind] = {}
    modules: dict[str, str] = {}
    for step in pipeline.steps:
        for cell in step.cells:
            tree = ipython_syntax.read(cell.source).tree
            if tree is not None:
                modules.update(_imported(tree))
                for name, value in _assigned(tree):
                    kind = _kind(value, modules, made)
                    if kind is None:
                        made.pop(name, None)
                    else:
                        made[name] = kind
    return made


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    top = alias.name.partition(".")[0]
                    yield (alias.asname, alias.name) if alias.asname else (top, top)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((alias.asname or alias.name, f"{module}.{alias.name}") for alias in names)
            case _:
                pass


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    match target:
                        case ast.Name(id=name):
                            yield name, value
                        case ast.Tuple(elts=parts) | ast.List(elts=parts):
                            yield from ((part.id, value) for part in parts if isinstance(part, ast.Name))
                        case _:
                            pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case _:
                pass


def _kind(value: ast.expr, modules: Mapping[str, str], made: Mapping[str, Kind]) -> Kind | None:
    match value:
        case ast.Name(id=name):
            return made.get(name)
        case (
            ast.Subscript(value=part)
            | ast.Attribute(value=part, attr="frame" | "data" | "target" | "T" | "loc" | "iloc")
        ):
            return "Dataset" if _kind(part, modules, made) == "Dataset" else None
        case ast.Call(func=function):
            path = _path(function, modules)
            if path is not None and _DATASETS.fullmatch(path):
                return "Dataset"
            if path is not None and _MODELS.fullmatch(path) and not _NO_MODELS.fullmatch(path):
                return "Model"
            if isinstance(function, ast.Attribute) and function.attr in _SAME_KIND:
                return _kind(function.value, modules, made)
    return None


def _path(function: ast.expr, modules: Mapping[str, str]) -> str | None:
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name) or function.id not in modules:
        return None
    return ".".join([modules[function.id], *reversed(parts)])
