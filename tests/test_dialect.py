"""Marks on cells: tags, magics, Kale's words; what is wrong is named, what is nobody's is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.dialect import FLAGS, KEYS, Marks, read_header, read_marks
from nbvertex.notebook import SourceCell
from nbvertex.options import BY_NAME, LONGEST_NAME, TABLE, Wrong, build, step_name


def marks(*tags: str, source: str = "x = 1") -> Marks:
    """The marks of a cell with these tags."""
    return read_marks("nb.ipynb", SourceCell(4, "code", source, tags, metadata={"tags": list(tags)}))


def said(found: Marks) -> list[tuple[str, str]]:
    """Code and severity of each problem."""
    return [(problem.code, problem.severity) for problem in found.problems]


TAGS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "step": (("step:load",), {"step": "load", "marked": True}),
    "blanks": (("step: load ",), {"step": "load", "marked": True}),
    "Kale 1.x": (("block:load",), {"step": "load", "marked": True}),
    "Kale, goes on": (("block:",), {"step": "", "marked": True}),
    "the same twice": (("step:a", "block:a"), {"step": "a", "marked": True}),
    "after": (("step:b", "after:a", "prev:c"), {"step": "b", "marked": True, "given": {"after": ("a", "c")}}),
    "after, a list": (("after:a,b", "after:b"), {"given": {"after": ("a", "b")}}),
    "imports": (("imports",), {"setup": True, "marked": True}),
    "functions": (("functions",), {"setup": True, "marked": True}),
    "set-up": (("setup",), {"setup": True, "marked": True}),
    "set-up, as a step": (("step:setup", "imports"), {"setup": True, "step": "setup", "marked": True}),
    "parameters": (("parameters",), {"parameters": True}),
    "Kale's parameters": (("pipeline-parameters",), {"parameters": True}),
    "papermill's values": (("injected-parameters",), {"parameters": True}),
    "metrics": (("pipeline-metrics",), {}),
    "skip": (("skip",), {"skip": True, "marked": True}),
    "varies": (("varies", "step:a"), {"varies": True, "step": "a", "marked": True}),
    "may fail": (("raises-exception",), {"may_fail": True}),
    "Kale's GPU": (("limit:nvidia.com/gpu:2",), {"given": {"gpu": "2"}}),
    "Kale's memory": (("limit:memory:16Gi",), {"given": {"memory": "16Gi"}}),
    "Kale's processors": (("limit:cpu:4",), {"given": {"cpu": "4"}}),
    "Kale's image": (("image:gcr.io/p/i:1",), {"given": {"image": "gcr.io/p/i:1"}}),
    "Kale's cache": (("cache:disabled",), {"given": {"cache": False}}),
    "Kale's label": (("label:team:x", "label:b:c:d"), {"given": {"label": (("team", "x"), ("b", "c:d"))}}),
    "Kale's annotation": (("annotation:k8s.io/x:y",), {"given": {"annotation": (("k8s.io/x", "y"),)}}),
    "Kale's secret": (("secret:my-secret:key:TOKEN",), {"given": {"secret": ("TOKEN=k8s:my-secret/key",)}}),
    "spot": (("spot",), {"given": {"spot": True}}),
    "a false option": (("spot:false",), {"given": {"spot": False}}),
    "papermill's and others'": (("hide-input", "remove_cell", "flake8-noqa-E501", "solution", "x:y"), {}),
    "others' near ours": (("slideshow", "nbval-skip", "skip-execution", "ci-skip", "test", "out", "time:3"), {}),
    "nothing": ((), {}),
}  # fmt: skip


@pytest.mark.parametrize("tags, fields", TAGS.values(), ids=TAGS)
def test_reads_tags(tags: tuple[str, ...], fields: dict[str, Any]) -> None:
    """Each row of the grammar means what it says, without a word of warning."""
    assert marks(*tags) == Marks(source="x = 1", **fields)


MAGICS: dict[str, tuple[str, dict[str, Any]]] = {
    "step": ("%%step load\nx = 1", {"source": "#\nx = 1", "step": "load", "marked": True}),
    "blank lines first": ("\n \n%%step load\nx", {"source": "\n \n#\nx", "step": "load", "marked": True}),
    "alone": ("%%step load", {"source": "", "step": "load", "marked": True}),
    "a magic below": ("%%step a\n%%time\nx", {"source": "\n%%time\nx", "step": "a", "marked": True}),
    "parameters": ("%%parameters\nn = 1", {"source": "#\nn = 1", "parameters": True}),
    "both": ("%%step a\n%%parameters\nn = 1", {"source": "#\n\nn = 1", "step": "a", "parameters": True, "marked": True}),
    "options": (
        "%%step b --after a,c --gpu=nvidia-l4:2 --timeout 10m --spot --cache disabled --retries 2\nx",
        {"source": "#\nx", "step": "b", "marked": True, "given": {
            "after": ("a", "c"), "gpu": "nvidia-l4:2", "timeout": 600.0, "spot": True, "cache": False, "retries": 2}},
    ),
    "quotes": (
        "%%step b --requires 'pandas >=2,<3' --in 'my data.csv' --no-cache",
        {"source": "", "step": "b", "marked": True,
         "given": {"requires": ("pandas >=2,<3",), "in": ("my data.csv",), "cache": False}},
    ),
    "flag before a flag": ("%%step b --spot --cache", {
        "source": "", "step": "b", "marked": True, "given": {"spot": True, "cache": True}}),
    "flag with its value": ("%%step b --spot false", {
        "source": "", "step": "b", "marked": True, "given": {"spot": False}}),
    "other magics": ("%%time\nx", {"source": "%%time\nx"}),
    "not the first line": ("x = 1\n%%step load", {"source": "x = 1\n%%step load"}),
    "longer words": ("%%steps_of\nx", {"source": "%%steps_of\nx"}),
    "Windows": ("%%step load\r\nx = 1", {"source": "#\nx = 1", "step": "load", "marked": True}),
}  # fmt: skip


@pytest.mark.parametrize("source, fields", MAGICS.values(), ids=MAGICS)
def test_reads_magics(source: str, fields: dict[str, Any]) -> None:
    """Our lines say what tags say, and are blank afterwards: no line of the cell moves."""
    found = marks(source=source)
    assert found == Marks(**fields)
    assert found.source.count("\n") == source.count("\n")


PROBLEMS: dict[str, tuple[tuple[str, ...], str, list[tuple[str, str]], str]] = {
    "two steps": (("step:a", "step:b"), "", [("two-steps", "error")], "`a` and `b`"),
    "tag against magic": (("step:a",), "%%step b", [("two-steps", "error")], "`a` and `b`"),
    "set-up and step": (("imports", "step:a"), "", [("two-steps", "error")], "`imports`"),
    "skipped step": (("skip", "step:a", "prev:b"), "", [("skipped-mark", "warning")], "`step:a`, `after:b`"),
    "two machines": (("machine:n1-standard-4", "machine:e2-small"), "", [("option", "error")], "said twice"),
    "tag against magic's option": (("retries:1",), "%%step a --retries 2", [("option", "error")], "said twice"),
    "no name": ((), "%%step", [("step-name", "error")], "needs the name"),
    "option for a name": ((), "%%step --after x", [("step-name", "error")], "needs the name"),
    "a word too many": ((), "%%step a b", [("option", "error")], "'b'"),
    "unknown option": ((), "%%step a --machne x", [("option", "error")], "`--machine`"),
    "unknown option, joined": ((), "%%step a --foo=1 --retries 2", [("option", "error")], "`--foo`"),
    "no value": ((), "%%step a --after", [("option", "error")], "`--after` needs a value"),
    "open quote": ((), "%%step a --in 'x", [("option", "error")], "no closing quotation"),
    "words after parameters": ((), "%%parameters x", [("option", "error")], "takes nothing"),
    "when": (("when:x > f(1)",), "", [("option", "error")], "a call is no literal"),
    "each": ((), "%%step a --each 'x of xs'", [("option", "error")], "invalid syntax"),
    "report": (("report:enabled",), "", [("no-meaning", "warning")], "`report:enabled`"),
    "notebook": (("notebook:sub",), "", [("no-meaning", "warning")], "`notebook:sub`"),
    "unknown limit": (("limit:example.com/tpu:1",), "", [("no-meaning", "warning")], "example.com/tpu"),
    "slip: swapped": (("stpe:load",), "", [("near-miss", "warning")], "`step:load`"),
    "slip: added": (("steps:load",), "", [("near-miss", "warning")], "`step:load`"),
    "slip: case": (("Step:load",), "", [("near-miss", "warning")], "`step:load`"),
    "slip: equals": (("step=load",), "", [("near-miss", "warning")], "`step:load`"),
    "slip: blank": (("step load",), "", [("near-miss", "warning")], "`step:load`"),
    "slip: option": (("timout:3",), "", [("near-miss", "warning")], "`timeout:3`"),
    "slip: underscore": (("service_account:a@b.c",), "", [("near-miss", "warning")], "`service-account:a@b.c`"),
    "slip: flag": (("import",), "", [("near-miss", "warning")], "`imports`"),
    "slip: flag's case": (("Parameters",), "", [("near-miss", "warning")], "`parameters`"),
    "slip: magic": ((), "%%stpe load", [("near-miss", "warning")], "`%%step`"),
    "slip: magic's number": ((), "%%parameter\nn = 1", [("near-miss", "warning")], "`%%parameters`"),
}  # fmt: skip


@pytest.mark.parametrize("tags, source, problems, text", PROBLEMS.values(), ids=PROBLEMS)
def test_names_what_is_wrong(
    tags: tuple[str, ...], source: str, problems: list[tuple[str, str]], text: str
) -> None:
    """Each slip gives one problem with its cell, its severity and what is meant."""
    found = marks(*tags, source=source)
    assert said(found) == problems
    (problem,) = found.problems
    assert text in f"{problem.message} | {problem.hint}"
    assert problem.place.cell == 4
    assert problem.place.line == (1 if source else None)


@pytest.mark.parametrize(
    "tags, problems", [({"step": "a"}, 1), (7, 1), (["a", 3], 1), (["a", None, []], 2), (None, 0)]
)
def test_names_tags_that_are_no_texts(tags: Any, problems: int) -> None:
    """Odd metadata is named, and reading goes on."""
    cell = SourceCell(2, "code", "x", metadata={"tags": tags})
    assert [(p.code, p.severity) for p in read_marks("nb", cell).problems] == [("tags", "warning")] * problems


VALUES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "machine": (("n1-standard-4", "a2-highgpu-1g", "ct5lp-hightpu-4t"), ("", "big one", "n1", "N1-standard", "a;b", "$(x)")),
    "gpu": (("1", "t4", "nvidia-l4:2", "NVIDIA_TESLA_T4:1"), ("", "-1", "1 2", "t4:", "l4:x", "{{ x }}")),
    "cpu": (("4", "0.5", "500m"), ("", "-1", "four", "4cores", "٤")),
    "memory": (("16Gi", "512M", "1.5Ti", "16GB"), ("", "16", "Gi", "16gb", "-1Gi", "16 Gi")),
    "disk": (("200Gi",), ("200", "x")),
    "replicas": (("1", "8"), ("0", "-1", "1.5", "x")),
    "spot": (("true", "False", "yes", "off"), ("", "maybe", "2")),
    "image": (("python:3.12", "europe-docker.pkg.dev/p/r/i@sha256:ab"), ("", "a b", "x;y", "{{ x }}", "-x")),
    "requires": (
        ("pandas", "pandas>=2,<3", "x[a,b] ==1.*", "x @ https://e.x/y.whl", "x>=1; python_version>'3'"),
        ("", "-r file", "--index-url x", "a b", "x\n--y", ">=1"),
    ),
    "retries": (("0", "3"), ("-1", "1.5", "", "three", "1e3")),
    "timeout": (("90", "1.5", "10m", "1h30m", "2d"), ("0", "-1", "", "ten", "10x", "m", "1h 30m", "٣")),
    "cache": (("enabled", "disabled", "on"), ("", "sometimes")),
    "secret": (
        ("TOKEN=hf-token", "TOKEN=hf:3", "T=projects/p/secrets/s/versions/latest", "s:k:TOKEN"),
        ("", "TOKEN", "TOKEN=", "1T=x", "TOKEN=a b", "T=$(x)", "T=a/b"),
    ),
    "service-account": (("a@b.iam.gserviceaccount.com",), ("", "a", "a b@c", "@")),
    "in": (("data.csv", "../a b.csv", "gs://b/x"), ("", "a\nb", "a\0b")),
    "out": (("model.pkl",), ("",)),
    "runs-on": (("here",), ("", "there")),
    "after": (("a", "a,b"), ("", "a,,b", "a b", "../x")),
    "label": (("a:b", "a:"), ("", "a", ":b", "a b:c")),
    "annotation": (("a/b:c",), ("", "a")),
    "when": (
        ("a > 0.9", "a>1 and not (b == 'x' or c is None)", "mode in ['a', 'b']", "0.5 < a", "a == -1", "é != 'ü'"),
        ("", "a", "f(a) > 1", "a.b > 1", "a[0] == 1", "a == b", "1 < a < 2", "a > 1 > 0", "a := 1", "a == [1]", "a in b",
         "a in 'xy'", "a == 1e999", "a == 1j", "a == 10**9", "a > 1; b", "a >", "(" * 500, "not " * 400 + "a", "a\nb",
         "a\0b", "lambda: a", "a == f'{a}'", "__import__('os')", "a is 1", "True", "é", "a == '\ud800' and ü"),
    ),
    "metric": (("accuracy", "_x", "é"), ("", "a b", "1a", "a.b", "a,b")),
    "each": (
        ("lr in [0.1, 0.01]", "lr in rates", "p in [(1, 2), {'a': [None, True]}]", "s in ('x',)", "lr in [0.1; 0.01]",
         "n in []"),
        ("", "lr", "lr in 3", "lr in range(3)", "lr in [a, b]", "lr in {1, 2}", "lr of rates", "lr in lr", "_ in [1]",
         "a.b in [1]", "a, b in [1]", "lr in [1] in [2]", "lr not in [1]", "lr in [*x]", "lr in [1e999]", "lr in xs.y",
         "lr in [x for x in y]", "lr in [" + "1," * 999 + "1, 2]", "[" * 300, "é", "lr in [b'x']", "lr in {'a': 1}"),
    ),
}  # fmt: skip


def test_every_option_is_in_the_table_of_values() -> None:
    """The table below leaves no option out."""
    assert set(VALUES) == {option.name for option in TABLE}


@pytest.mark.parametrize("name", VALUES)
def test_checks_values(name: str) -> None:
    """Good values pass and reach the model; bad ones give one error that says what is taken."""
    good, bad = VALUES[name]
    for value in good:
        found = marks(f"{name}:{value}")
        assert not found.problems, value
        assert set(found.given) == {name}
        build([found.given])
    for value in bad:
        found = marks(f"{name}:{value}")
        assert said(found) == [("option", "error")], value
        assert found.problems[0].message.startswith(f"`{name}` takes {BY_NAME[name].takes}, not ")
        assert found.problems[0].message.isascii()


NAMES = ("load", "TrainModel", "train-model", "class", "a.b", "1", "_x", "étape", "模型", "x" * LONGEST_NAME)
HOSTILE = (
    "", " ", "a b", "a\nb", "a\tb", "a'b", 'a"b', "a`b", "../x", "..", ".x", "x.", "a..b", "a/b", "a\\b", "{{ x }}", "$(rm)",
    "${x}", "a;b", "a|b", "<b>", "-x", "a\0b", "a\u200bb", "a\u202eb", "ｌｏａｄ", "ﬁt", "lоad", "x²", "x" * (LONGEST_NAME + 1),
    "a:b", "a,b", "%x", "#x", "@x", "🙂", "a\ud800",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_takes_names_in_any_alphabet(name: str) -> None:
    """A name is what the user wants, as long as it is safe."""
    assert step_name(name) == name


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_refuses_hostile_names(name: str) -> None:
    """Quotes, breaks, paths, templates, look-alikes: one error, and nothing unprintable in it."""
    with pytest.raises(Wrong) as caught:
        step_name(name)
    assert str(caught.value).isascii()
    if name.strip() and "," not in name:
        found = marks(f"step:{name}")
        assert [code for code, _ in said(found)] == ["step-name"]
        assert found.step == ""


def test_joins_letters_and_accents() -> None:
    """A name typed on a Mac and on Linux is one name."""
    assert step_name("e\u0301tape") == step_name("\u00e9tape") == "\u00e9tape"


def test_reads_kales_metadata() -> None:
    """What means something here is used; everything else that says something is named in one warning."""
    header = read_header(
        "nb.ipynb",
        {
            "kubeflow_notebook": {
                "pipeline_name": "churn", "pipeline_description": "who leaves", "base_image": "img:1",
                "docker_image": "old:1", "enable_caching": False, "experiment": {"id": "new"}, "volumes": [],
                "katib_run": False, "katib_metadata": {"a": 1}, "mystery": 3,
                "steps_defaults": ["label:team:x", "limit:cpu:2", "retries:1", "skip", 3],
            }
        },
    )  # fmt: skip
    assert (header.name, header.description) == ("churn", "who leaves")
    assert header.given == {
        "image": "img:1",
        "cache": False,
        "label": (("team", "x"),),
        "cpu": "2",
        "retries": 1,
    }
    assert [p.code for p in header.problems] == ["no-meaning"] * 3
    assert all(p.severity == "warning" for p in header.problems)
    assert "`experiment`, `katib_metadata`, `mystery`" in header.problems[-1].message


@pytest.mark.parametrize(
    "metadata", [{}, {"kubeflow_notebook": None}, {"kubeflow_notebook": [1]}, {"kubeflow_notebook": {}}]
)
def test_other_metadata_says_nothing(metadata: dict[str, Any]) -> None:
    """A notebook that is not Kale's has no header, and no warning."""
    header = read_header("nb.ipynb", metadata)
    assert (header.name, header.given, header.problems) == ("", {}, ())


WORDS = st.sampled_from(
    [*FLAGS, *KEYS, *BY_NAME, "x", "--", "%%step", "%%parameters", "\n", "'", ":", "=", ",", "a", "1", "é"]
)


@given(st.lists(st.lists(WORDS, max_size=4).map("".join) | st.text(max_size=8), max_size=4))
def test_any_tags_are_read(tags: list[str]) -> None:
    """Whatever the tags are, there are marks and problems, never an exception."""
    found = marks(*tags)
    assert found.source == "x = 1"


@given(st.lists(WORDS, max_size=8).map(" ".join))
def test_any_magic_is_read(line: str) -> None:
    """Whatever stands on a magic line, no line moves and nothing is raised."""
    source = f"%%step {line}\nx = 1"
    found = marks(source=source)
    assert found.source.count("\n") == source.count("\n")
    assert found.source.endswith("\nx = 1")
