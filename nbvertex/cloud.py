"""Which cells may create something in the cloud that costs money, as far as their code tells."""

from __future__ import annotations

import ast
import re

from nbvertex.ipython_syntax import read
from nbvertex.pipeline import Pipeline

CLIENTS = ("google.cloud", "googleapiclient", "vertexai", "kfp", "boto3", "azure", "gcsfs", "s3fs")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
VERBS = re.compile(
    r"(batch_|async_)?(create|insert|upload|deploy|submit|run|start|import|load_table|copy|export|train|fit|tune"
    r"|publish|enable|execute|delete|update|patch|predict_batch|batch_predict|put_object|to_gbq|write|save)(_|$)"
)
COMMANDS = re.compile(
    r"^\s*[!%]+\s*(sx\s+|system\s+|bash\b.*\s)?(sudo\s+)?("
    r"(gcloud|az|aws)\s.*\b(create|deploy|submit|run|delete|update|enable|execute|upload|cp|mb|import|start)\b"
    r"|gsutil\s.*\b(mb|cp|mv|rm|rsync)\b|bq\s.*\b(mk|load|query|cp|rm|insert|update)\b"
    r"|kubectl\s.*\b(apply|create|delete|run)\b|terraform\s.*\b(apply|destroy)\b)",
    re.MULTILINE,
)
MAGICS = re.compile(r"^\s*%%?(bigquery|bq|spark)\b", re.MULTILINE)


def creating(pipeline: Pipeline) -> list[int]:
    """The positions of cells that call a client of a cloud in a way that changes or starts something there.

    Args:
        pipeline: the notebook.
    """
    cells = sorted((c for step in pipeline.steps for c in step.cells), key=lambda cell: cell.position)
    imports = any(_is_client(module) for cell in cells for module in cell.facts.imports)
    makers: set[str] = set()  # functions of the notebook that do it when they are called
    found = []
    for cell in cells:
        called = _Called(cell.source)
        makers |= called.makers
        commands = COMMANDS.search(cell.source) or MAGICS.search(cell.source)
        calls = called.creates or called.names & makers
        if commands or (imports and "network" in cell.facts.outside and calls):
            found.append(cell.position)
    return found


def _is_client(module: str) -> bool:
    return any(module == client or module.startswith(f"{client}.") for client in CLIENTS)


class _Called:
    """What a cell calls.

    Args:
        source: the cell's.
    """

    def __init__(self, source: str) -> None:
        tree = read(source).tree
        inside = [] if tree is None else [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
        self.names = set() if tree is None else _calls(tree)
        self.creates = any(map(VERBS.match, self.names))
        self.makers = {node.name for node in inside if any(map(VERBS.match, _calls(node)))}


def _calls(tree: ast.AST) -> set[str]:
    """The names of the functions and methods that are called."""
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    methods = {call.attr for call in called if isinstance(call, ast.Attribute)}
    return methods | {call.id for call in called if isinstance(call, ast.Name)}
