"""What placeholders in commands and constants become."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.emulator.placeholders import Context, UnknownPlaceholder, expand

TOLD = {
    "inputs": {
        "parameterValues": {"n": 3, "s": "a b", "d": {"k": [1]}, "b": True, "none": None},
        "artifacts": {
            "data": {"artifacts": [{"name": "m/1", "uri": "gs://b/x", "metadata": {"rows": 2, "who": "me"}}]}
        },
    },
    "outputs": {
        "parameters": {"o": {"outputFile": "/t/o"}},
        "artifacts": {"model": {"artifacts": [{"name": "m/2", "uri": "gs://b/m", "metadata": {}}]}},
        "outputFile": "/t/executor_output.json",
    },
}
CONTEXT = Context(
    {"pipeline_job_name": "job-1", "pipeline_root": "gs://b"}, TOLD, lambda uri: uri.replace("gs://", "/gcs/")
)


@pytest.mark.parametrize(
    "text,wanted",
    [
        ("plain {{x}} $ {$}", "plain {{x}} $ {$}"),
        ("{{$.inputs.parameters['n']}}-{{$.inputs.parameters['s']}}", "3-a b"),
        ("{{$.inputs.parameters['d']}}", '{"k": [1]}'),
        ("{{$.inputs.parameters['b']}}", "true"),
        ("{{$.inputs.parameters['not given']}}", ""),
        ('{{$.inputs.parameters["n"]}}', "3"),
        ("{{$.inputs.artifacts['data'].uri}}", "gs://b/x"),
        ("{{$.inputs.artifacts['data'].path}}", "/gcs/b/x"),
        ("{{$.inputs.artifacts['data'].name}}", "m/1"),
        ("{{$.inputs.artifacts['data'].metadata['rows']}}", "2"),
        ("{{$.inputs.artifacts['data'].metadata}}", '{"rows": 2, "who": "me"}'),
        ("{{$.outputs.artifacts['model'].path}}/x", "/gcs/b/m/x"),
        ("{{$.outputs.parameters['o'].output_file}}", "/t/o"),
        ("{{$.outputs.output_file}}", "/t/executor_output.json"),
        ("{{$.pipeline_job_name}} in {{$.pipeline_root}}", "job-1 in gs://b"),
        ("{{$}}", json.dumps(TOLD)),
        ("{{$.inputs.parameters['d'].json_escape[1]}}", '{\\"k\\": [1]}'),
    ],
)
def test_text(text: str, wanted: str) -> None:
    """Strings stand as they are, all else as JSON."""
    assert CONTEXT.fill(text) == wanted


def test_escaped_whole_input() -> None:
    """What stands in a JSON string within JSON."""
    text = CONTEXT.fill('{"x": "{{$.json_escape[1]}}"}')
    assert json.loads(json.loads(text)["x"]) == TOLD


@pytest.mark.parametrize(
    "words,wanted",
    [
        (["run", '{"Concat": ["--n=", "{{$.inputs.parameters[\'n\']}}"]}'], ["run", "--n=3"]),
        (
            ['{"IfPresent": {"InputName": "n", "Then": ["--n", "{{$.inputs.parameters[\'n\']}}"]}}'],
            ["--n", "3"],
        ),
        (['{"IfPresent": {"InputName": "zz", "Then": "x", "Else": ["y", "z"]}}'], ["y", "z"]),
        (['{"IfPresent": {"InputName": "none", "Then": "x"}}'], []),
        (['{"IfPresent": {"InputName": "data", "Then": "x"}}'], ["x"]),
        (
            [
                '{"Concat": ["a", {"IfPresent": {"InputName": "zz", "Then": "b", "Else": "c"}}, {"Concat": ["d", "e"]}]}'
            ],
            ["acde"],
        ),
        (['{"other": 1}'], ['{"other": 1}']),
        (['{"Concat": broken'], ['{"Concat": broken']),
    ],
)
def test_words(words: list[str], wanted: list[str]) -> None:
    """Structures are worked out before texts are filled."""
    assert CONTEXT.words(words) == wanted


@pytest.mark.parametrize(
    "text", ["{{$.nothing}}", "{{$.inputs.artifacts['data'].size}}", "{{$.inputs parameters}}"]
)
def test_unknown(text: str) -> None:
    """None is passed over in silence."""
    with pytest.raises(UnknownPlaceholder):
        CONTEXT.fill(text)


def test_what_the_author_wrote_is_filled_too() -> None:
    """The default of a parameter may hold placeholders, once; what is not given is blank in its own way."""
    context = Context({}, {}, blanks={"config": {}, "xs": []})
    assert context.fill("{{$.inputs.parameters['config']}} {{$.inputs.parameters['xs']}}") == "{} []"
    escaped = Context(
        {}, {"inputs": {"parameterValues": {"spec": ["{{$.json_escape[1]}}"]}}}, templates=frozenset({"spec"})
    )
    (inner,) = json.loads(escaped.fill("{{$.inputs.parameters['spec']}}"))
    assert json.loads(inner) == escaped.executor_input


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_values_are_not_filled_again(text: str) -> None:
    """What a parameter holds is data."""
    context = Context({}, {"inputs": {"parameterValues": {"x": text}}})
    assert context.fill("<{{$.inputs.parameters['x']}}>") == f"<{text}>"


@pytest.mark.parametrize(
    "text,wanted",
    [("$(A)/$(B)", "1/$(B)"), ("$$(A)", "$(A)"), ("$A ${A}", "$A ${A}"), ("a$(A)b", "a1b")],
)
def test_variables(text: str, wanted: str) -> None:
    """As Kubernetes expands them: what is unknown stays."""
    assert expand(text, {"A": "1"}) == wanted
