"""Targets are found by their entry points, and what they cannot express is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import making
import pytest
import yaml

from nbvertex import target
from nbvertex.actions import converting
from nbvertex.actions.reading import open_notebook
from nbvertex.errors import NbvertexError, ProblemsFound, UsageError

Convert = Callable[..., dict[str, str]]


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """Converts cells for a target; gives the files."""

    def made(*cells: object, to: str = "vertex-pipeline", **said: str) -> dict[str, str]:
        path = making.write(tmp_path / "nb.ipynb", cells)  # type: ignore[arg-type]
        return dict(converting.convert(open_notebook(str(path)), to, converting.Said(**said)).files)

    return made


def container(files: dict[str, str], task: str) -> dict[str, object]:
    """The container of one task."""
    said = yaml.safe_load(files["pipeline.yaml"])
    found: dict[str, object] = said["deploymentSpec"]["executors"][f"exec-{task}"]["container"]
    return found


def test_built_in_targets_are_found_like_others() -> None:
    """By entry point, each with what it supports."""
    found = {one.name: one for one in converting.targets()}
    assert {"kubeflow", "vertex-pipeline"} <= found.keys()
    assert all(one.trouble is None and one.supports for one in found.values())
    with pytest.raises(UsageError) as error:
        target.find("vertex-pipelin")
    assert error.value.hint == "did you mean vertex-pipeline?"


@pytest.mark.parametrize("to", ["vertex-pipeline", "kubeflow"])
@pytest.mark.parametrize(
    "tag, option",
    [
        ("machine:n1-standard-4", "machine"),
        ("disk:100Gi", "disk"),
        ("replicas:2", "replicas"),
        ("spot", "spot"),
        ("runs-on:here", "runs-on"),
        ("service-account:a@b.iam.gserviceaccount.com", "service-account"),
    ],
)
def test_what_cannot_be_expressed_is_refused(convert: Convert, to: str, tag: str, option: str) -> None:
    """By the name that the user typed, with the cell and the step."""
    with pytest.raises(ProblemsFound) as found:
        convert(making.cell("x = 1", "step:a"), making.cell("print(x)", "step:b", tag), to=to)
    (problem,) = found.value.problems
    assert problem.code == "not-supported"
    assert f"`{option}`" in problem.message
    assert to in problem.message
    assert (problem.place.cell, problem.place.step) == (2, "b")


def test_what_a_cluster_says_beside_the_code_is_left_out_by_name(tmp_path: Path) -> None:
    """Kale's labels and annotations are named in a warning."""
    path = making.write(tmp_path / "nb.ipynb", [making.cell("1", "step:a", "label:team:x")])
    made = converting.convert(open_notebook(str(path)), "vertex-pipeline")
    assert [(one.code, one.severity) for one in made.warnings] == [("not-supported", "warning")]


@pytest.mark.parametrize("gpu, code", [("2", "unknown-gpu"), ("quantum:1", "unknown-gpu")])
def test_vertex_knows_its_gpus(convert: Convert, gpu: str, code: str) -> None:
    """A type is needed, and one that there is."""
    with pytest.raises(ProblemsFound) as found:
        convert(making.cell("1", "step:a", f"gpu:{gpu}"))
    assert found.value.problems[0].code == code


def test_resources_retries_and_images(convert: Convert) -> None:
    """Each at the step that asks for it."""
    files = convert(
        making.cell("x = 1", "step:a"),
        making.cell("x", "step:b", "cpu:4", "memory:16Gi", "gpu:nvidia-l4:2", "retries:3", "image:gcr.io/p/i:1", "cache:disabled"),
        image="gcr.io/p/default",
    )  # fmt: skip
    said = container(files, "b")
    assert said["image"] == "gcr.io/p/i:1"
    assert said["resources"] == {
        "cpuLimit": 4.0, "resourceCpuLimit": "4", "memoryLimit": 17.179869184, "resourceMemoryLimit": "16Gi",
        "accelerator": {"type": "NVIDIA_L4", "count": "2", "resourceType": "NVIDIA_L4", "resourceCount": "2"},
    }  # fmt: skip
    assert container(files, "a")["image"] == "gcr.io/p/default"
    assert '"own_image": true' in str(container(files, "a")["args"])
    assert "own_image" not in str(container(convert(making.cell("1", "step:a")), "a")["args"])
    tasks = yaml.safe_load(files["pipeline.yaml"])["root"]["dag"]["tasks"]
    assert tasks["b"]["retryPolicy"]["maxRetryCount"] == 3
    assert tasks["b"]["cachingOptions"] == {}
    assert tasks["a"]["cachingOptions"] == {"enableCache": True}
    assert "Dockerfile" not in files


def test_an_image_to_be_built_comes_along_where_none_is_named(convert: Convert) -> None:
    """With everything that the steps need, at the versions that are installed here."""
    files = convert(making.cell("import pandas", "step:a"))
    assert {"Dockerfile", "cloudbuild.yaml", "requirements.txt"} <= files.keys()
    assert any(line.startswith("pandas==") for line in files["requirements.txt"].splitlines())
    assert yaml.safe_load(files["cloudbuild.yaml"])["images"] == ["$_IMAGE"]


def test_the_document_is_one_and_the_same(convert: Convert) -> None:
    """One YAML document, equal for equal notebooks, without this machine in it."""
    cells = (making.cell("x = {1: 2}", "step:a"), making.cell("print(x)", "step:b"))
    files = convert(*cells)
    assert len(list(yaml.safe_load_all(files["pipeline.yaml"]))) == 1
    assert convert(*cells) == files
    assert str(Path.home()) not in "".join(
        text for name, text in files.items() if not name.startswith("kit/")
    )


def test_parameters_are_typed(convert: Convert) -> None:
    """By their defaults; one that only its cell can compute has none."""
    source = "n = 1\nx: float = 2\nflag = True\nname = 'a'\nxs = [1]\nd = {'a': 1}\nwhen = max(1, 2)\nnone: str | None = None"
    files = convert(making.cell(source, "parameters"), making.cell("print(n)", "step:a"))
    inputs = yaml.safe_load(files["pipeline.yaml"])["root"]["inputDefinitions"]["parameters"]
    told = {name: (one["parameterType"], one.get("defaultValue")) for name, one in inputs.items()}
    assert told == {
        "n": ("NUMBER_INTEGER", 1), "x": ("NUMBER_DOUBLE", 2), "flag": ("BOOLEAN", True), "name": ("STRING", "a"),
        "xs": ("LIST", [1]), "d": ("STRUCT", {"a": 1}), "when": ("STRING", None), "none": ("STRING", None),
    }  # fmt: skip
    assert all(one["isOptional"] for one in inputs.values())


@pytest.mark.parametrize(
    "source, kind",
    [
        ("import pandas as pd\nv = pd.read_csv('x').dropna()", "Dataset"),
        (
            "from sklearn.linear_model import LogisticRegression as L\nv = L(C=2).fit([[0], [1]], [0, 1])",
            "Model",
        ),
        ("from sklearn.datasets import load_iris\nv = load_iris(as_frame=True).frame", "Dataset"),
        ("v = [1, 2]", "Artifact"),
        ("model = 'a name that tells nothing'\nv = model", "Artifact"),
    ],
)
def test_artifacts_are_typed_by_what_makes_them(convert: Convert, source: str, kind: str) -> None:
    """Not by what they are called."""
    files = convert(making.cell(source, "step:a"), making.cell("print(v)", "step:b"))
    outputs = yaml.safe_load(files["pipeline.yaml"])["components"]["comp-a"]["outputDefinitions"]["artifacts"]
    assert outputs["value_v"]["artifactType"]["schemaTitle"] == f"system.{kind}"
    assert outputs["page"]["artifactType"]["schemaTitle"] == "system.HTML"


HOSTILE = [
    "print('{{$.inputs.parameters}} {{workflow.name}}')",
    "!echo $(HOME) $$(X) python3",
    "x = '''---\n...\n'''\n\ttab = 1" if False else "x = '''---\n...\n'''",
    "x = 'é\u2028\x85 \U0001f600'",
    "-1",
    "# trailing space \nx = 1\n\n\n",
    "x = '" + "long" * 30_000 + "'",
    "x = 1\r\ny = 2",
]


@pytest.mark.parametrize("source", HOSTILE, ids=range(len(HOSTILE)))
def test_code_arrives_as_it_was_written(convert: Convert, source: str) -> None:
    """Whatever stands in a cell, no launcher replaces any of it, and no system refuses the words."""
    from nbvertex.runtime import orders

    files = convert(making.cell(source, "step:a"))
    words = container(files, "a")["args"]
    assert isinstance(words, list)
    start = words.index("--") + 2
    assert all(len(word.encode()) < 128_000 for word in words)
    assert not any("{{" in word or "$(" in word or "python3" in word for word in words[start + 2 :])
    order = orders.read(json.loads(words[start + 2]), orders.joined(words[start + 3 :]))
    assert [cell.source for cell in order.cells] == [source]


def test_an_unknown_profile_is_told(convert: Convert, tmp_path: Path) -> None:
    """With the one that was probably meant; a known one is written into the script that submits."""
    (tmp_path / "nbvertex.toml").write_text(
        '[profiles.prod]\nproject = "my-project"\nregion = "europe-west4"\n'
    )
    with pytest.raises(NbvertexError) as error:
        convert(making.cell("1", "step:a"), profile="prd")
    assert error.value.hint == "did you mean prod?"
    script = convert(making.cell("1", "step:a"), profile="prod")["submit.py"]
    assert 'PROJECT = "my-project"' in script
    assert 'os.environ["VERTEX_SERVICE_ACCOUNT"]' in script


def test_metrics_are_marked_or_called_so(convert: Convert) -> None:
    """By a mark, by Kale's cell that prints them, or by their dict's name; a step without any has no such artifact."""
    files = convert(
        making.cell("accuracy = 0.9", "step:a", "metric:accuracy"),
        making.cell("metrics = {'f1': 0.8}", "step:b"),
        making.cell(
            "recall = x = 1\nprint(accuracy)\nprint(recall)  # of all\nprint(f'{x}')",
            "step:c",
            "pipeline-metrics",
        ),
        making.cell("1", "step:d"),
    )
    told = {}
    for task in "abcd":
        words = container(files, task)["args"]
        assert isinstance(words, list)
        told[task] = json.loads(words[words.index("task") + 3]).get("measures")
    assert told == {"a": ["accuracy"], "b": ["metrics"], "c": ["accuracy", "recall"], "d": None}
    components = yaml.safe_load(files["pipeline.yaml"])["components"]
    has = {task: "metrics" in components[f"comp-{task}"]["outputDefinitions"]["artifacts"] for task in "abcd"}
    assert has == {"a": True, "b": True, "c": True, "d": False}
