"""docs/vertex.md says what the code does: its settings load, its commands exist, its roles are those that doctor asks for."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from places import ROOT

from nbvertex import config, drafts, patience, profiles, readiness, verbs
from nbvertex.pipeline import Pipeline, Step

PAGE = (ROOT / "docs/vertex.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "nbvertex").glob("**/*.py")))


def blocks(language: str) -> list[str]:
    """The code of the page in one language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", PAGE)


def test_the_settings_are_a_complete_profile(tmp_path: Path) -> None:
    """As they stand there, and with what they leave out put in."""
    (text,) = blocks("toml")
    more = re.sub(r'(?m)^# ([a-z-]+ = "[^"]*").*$', r"\1", text).replace("keyRings/R", "keyRings/r")
    for said in (text, more):
        (tmp_path / "nbvertex.toml").write_text(said, encoding="utf-8")
        settings = config.load(tmp_path / "n.ipynb")
        chosen = profiles.choose(settings, None, {})
        profiles.check(chosen, settings)
        assert chosen.name == "dev"
    assert chosen.profile.experiment == "my-experiment"


@pytest.mark.parametrize(
    "line",
    sorted({line for text in blocks("bash") for line in text.splitlines() if line.startswith("nbvertex ")}),
)
def test_the_commands_exist(line: str) -> None:
    """With the options that are used."""
    words = line.split()[1:]
    command: click.Command = verbs.commands
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= known


def test_the_roles_are_those_that_doctor_asks_for() -> None:
    """Each role that it would have granted is granted on the page, and to whom it would be."""
    granted = set(re.findall(r"--member=(serviceAccount|\$YOU)\S* --role=(roles/[\w.]+)", PAGE))
    steps = {role for role, _ in readiness.OF_STEPS} | {readiness.BUCKET_ROLES[0]}
    source = (ROOT / "nbvertex/readiness.py").read_text(encoding="utf-8")
    yours = set(re.findall(r'"user:YOU", "(roles/[\w.]+)"|--member=user:YOU --role=(roles/[\w.]+)', source))
    assert {role for who, role in granted if who == "serviceAccount"} >= steps
    assert {role for who, role in granted if who == "$YOU"} == {one or other for one, other in yours}


def test_the_apis_are_those_that_doctor_asks() -> None:
    """Each service that is called is enabled on the page."""
    hosts = set(
        re.findall(
            r"https://([a-z]+\.googleapis\.com)/",
            (ROOT / "nbvertex/readiness.py").read_text(encoding="utf-8"),
        )
    )
    enabled = set(re.findall(r"[a-z]+\.googleapis\.com", PAGE))
    assert hosts | {"aiplatform.googleapis.com", "logging.googleapis.com"} <= enabled


def refusals() -> list[str]:
    """The codes of the table."""
    rows = re.findall(r"(?m)^\| (`[^|]+`) \|", PAGE.partition("## What each refusal means")[2])
    return [code for row in rows for code in re.findall(r"`([\w-]+)`", row)]


@pytest.mark.parametrize("code", refusals())
def test_each_refusal_is_raised(code: str) -> None:
    """Somewhere in the code, by that name."""
    kind = code.removeprefix("remote-")
    by_field = code.removeprefix("no-").replace("-", "_") in readiness.Profile.__dataclass_fields__
    assert f'"{code}"' in SOURCES or by_field or kind in patience.Kind.__args__  # type: ignore[attr-defined]


def test_each_refusal_of_a_profile_is_on_the_page() -> None:
    """Nothing that a first submission meets is missing there."""
    held = profiles.missing(profiles.Chosen("dev", config.Profile()), config.Settings())
    assert {problem.code for problem in held} <= set(refusals())


def test_the_targets_are_those_that_can_be_submitted_to() -> None:
    """No more and no fewer."""
    assert set(re.findall(r"--to (vertex-[a-z]+)", PAGE)) == set(drafts.DRAFTS)


def test_the_secret_is_one_that_a_step_may_have() -> None:
    """The example is not refused."""
    reference = re.search(r"secret:(DB_PASSWORD=\S+?)\"", PAGE)
    assert reference is not None
    options = Step(name="load", cells=()).options
    step = Step(name="load", cells=(), options=type(options)(secrets=(reference[1],)))
    drafts.check_secrets(Pipeline(name="p", notebook="n.ipynb", steps=(step,)))
