"""What Google's services answer, in our words, and what is asked of them; without any library of Google's."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from service import Clock

from nbvertex import blamed, follow, service, vertex
from nbvertex.config import Profile
from nbvertex.errors import Exit, Place, RemoteError
from nbvertex.patience import PASSES, Fault, Patience

PROFILE = Profile(project="p-q", region="europe-west4")
PIPELINE, JOB = (
    "projects/1/locations/europe-west4/pipelineJobs/it-1",
    "projects/1/locations/europe-west4/customJobs/12",
)


@pytest.mark.parametrize(
    "status, kind",
    [(400, "refused"), (401, "credentials"), (403, "refused"), (404, "missing"), (408, "unsure"), (409, "exists"),
     (412, "refused"), (429, "busy"), (500, "unsure"), (502, "unsure"), (503, "unsure"), (504, "unsure")],
)  # fmt: skip
def test_a_status_says_what_may_follow(status: int, kind: str) -> None:
    """What may have been done is looked for; what was not done is asked again; what is refused stays so."""
    assert vertex._of_reply(status, "said").kind == kind


def test_a_call_that_got_in_the_way_of_another_is_made_again() -> None:
    """ABORTED has the number of what is there already, and is something else."""
    assert (
        vertex._of_reply(409, '{"error": {"code": 409, "message": "x", "status": "ABORTED"}}').kind == "busy"
    )
    assert (
        vertex._of_reply(409, '{"error": {"code": 409, "message": "x", "status": "ALREADY_EXISTS"}}').kind
        == "exists"
    )


@pytest.mark.parametrize(
    "text, said",
    [('{"error": {"code": 403, "message": "no"}}', "no"), ("<html>\n Bad  Gateway</html>", "<html> Bad Gateway</html>"), ("[]", "[]"), ("", "")],
)  # fmt: skip
def test_what_a_reply_says(text: str, said: str) -> None:
    """The message of an error, or what a proxy has written in its place."""
    assert vertex._of_reply(403, text).message == said


@pytest.mark.parametrize("kind", ["refused", "exists", "missing", "busy", "unsure", "credentials"])
def test_every_fault_is_the_remote_side(kind: Any) -> None:
    """Exit code 3, and the call is named."""
    error = Fault(kind, "said", what="PipelineService.CreatePipelineJob").error()
    assert isinstance(error, RemoteError)
    assert error.exit_code == Exit.REMOTE
    assert str(error) == "PipelineService.CreatePipelineJob: said"


class Asking:
    """A call that fails so often, in these ways, and then succeeds."""

    def __init__(self, *faults: Fault) -> None:
        self.faults, self.asked = list(faults), 0

    def __call__(self) -> str:
        self.asked += 1
        if self.faults:
            raise self.faults.pop(0)
        return "done"


def patient(clock: Clock, part: float = 1.0, **more: Any) -> Patience:
    """Patience on a clock of the test's own."""
    return Patience(100.0, now=clock.now, sleep=clock.sleep, part=lambda: part, **more)


@pytest.mark.parametrize("kind", sorted(PASSES))
def test_what_passes_is_asked_again(kind: Any) -> None:
    """Until it is answered."""
    asking = Asking(Fault(kind, "x"))
    assert patient(Clock()).ask(asking) == "done"
    assert asking.asked == 2


@pytest.mark.parametrize("kind", ["refused", "exists", "missing"])
def test_what_is_refused_is_asked_once(kind: Any) -> None:
    """It would be refused again."""
    asking = Asking(Fault(kind, "x"))
    with pytest.raises(Fault):
        patient(Clock()).ask(asking)
    assert asking.asked == 1


def test_credentials_are_refreshed_once() -> None:
    """A second refusal is told: nobody is logged in."""
    refreshed: list[int] = []
    asking = Asking(Fault("credentials", "x"), Fault("credentials", "x"))
    with pytest.raises(Fault):
        patient(Clock(), refresh=lambda: refreshed.append(1)).ask(asking)
    assert (asking.asked, refreshed) == (2, [1])


def test_patience_ends() -> None:
    """After the time that it is given, whatever is asked."""
    clock = Clock()
    begun = clock.now()
    with pytest.raises(Fault):
        patient(clock).ask(Asking(*[Fault("unsure", "x")] * 1000))
    assert 60 < clock.now() - begun <= 100


def test_waits_grow_and_differ() -> None:
    """Twice as long each time up to a limit, and a random part of that; longer where the service asks for it."""
    longest = [patient(Clock()).wait(tries) for tries in range(1, 9)]
    assert longest == [1, 2, 4, 8, 16, 30, 30, 30]
    assert [patient(Clock(), part=0.0).wait(tries) for tries in (1, 8)] == [0.5, 15.0]
    assert patient(Clock()).wait(1, 77.0) == 77.0
    assert len({Patience().wait(8) for _ in range(100)}) > 90


def test_a_call_names_what_it_is_about() -> None:
    """As a dry run prints it."""
    call = service.create("pipeline", "projects/p/locations/l", {"displayName": "x"}, "it-1")
    assert (call.method, call.resource) == (
        "PipelineService.CreatePipelineJob",
        "projects/p/locations/l/pipelineJobs/it-1",
    )
    assert call.body == {
        "parent": "projects/p/locations/l",
        "pipelineJob": {"displayName": "x"},
        "pipelineJobId": "it-1",
    }
    call = service.create("job", "projects/p/locations/l", {"displayName": "x"}, "it-1")
    assert (call.method, call.body) == (
        "JobService.CreateCustomJob", {"parent": "projects/p/locations/l", "customJob": {"displayName": "x"}}
    )  # fmt: skip


@pytest.mark.parametrize("name, part", [(PIPELINE, "/pipelines/runs/it-1"), (JOB, "/training/12")])
def test_the_console_and_the_way_to_stop_it(name: str, part: str) -> None:
    """A link for each kind of job, and a command that needs no nbvertex."""
    assert part in service.link(name, PROFILE)
    assert service.link(name, PROFILE).endswith("?project=p-q")
    assert "cancel" in service.stop_command(name, PROFILE)


@pytest.mark.parametrize(
    "state, ours",
    [("PIPELINE_STATE_SUCCEEDED", "done"), ("JOB_STATE_FAILED", "failed"), ("JOB_STATE_PARTIALLY_SUCCEEDED", "failed"),
     ("JOB_STATE_EXPIRED", "failed"), ("PIPELINE_STATE_CANCELLED", "interrupted"), ("PIPELINE_STATE_CANCELLING", "running"),
     ("JOB_STATE_PAUSED", "queued"), ("JOB_STATE_UPDATING", "running"), ("PIPELINE_STATE_PENDING", "queued"),
     ("JOB_STATE_SOMETHING_NEW", "queued"), ("", "queued")],
)  # fmt: skip
def test_every_state_is_known(state: str, ours: str) -> None:
    """A state that is new is waited on, never taken for an end."""
    assert service.state_of({"state": state}) == ours


@pytest.mark.parametrize(
    "line, place, said",
    [("nbvertex: a.ipynb, cell 4 [step train], line 3: ValueError: no: good", Place("a.ipynb", 4, 3, "train"), "ValueError: no: good"),
     ("a.ipynb, cell 4 [step train]: KeyError: 'x'", Place("a.ipynb", 4, None, "train"), "KeyError: 'x'"),
     ("my, notebook.ipynb, cell 4 [step a]: E: x", Place("my, notebook.ipynb", 4, None, "a"), "E: x"),
     ("nbvertex: a.ipynb, step train: its process died", Place("a.ipynb", None, None, "train"), "its process died"),
     ("nbvertex: step train of a.ipynb: it lacks x", Place("a.ipynb", None, None, "train"), "it lacks x")],
)  # fmt: skip
def test_a_line_of_the_runtime_is_a_place(line: str, place: Place, said: str) -> None:
    """Whatever the notebook, the step and the error are called."""
    found = blamed.failure(line)
    assert found is not None
    assert (found.place, found.message) == (place, said)


def test_the_last_line_about_the_notebook_counts() -> None:
    """A step may have printed anything before."""
    lines = [("a", "x.ipynb, cell 1 [step a]: said by a user"), ("a", "n.ipynb, cell 1 [step a]: printed"),
             ("a", "n.ipynb, cell 2 [step a]: E: true"), ("a", "ordinary: text")]  # fmt: skip
    found = blamed.first_failure(lines, "n.ipynb")
    assert found is not None
    assert found.place.cell == 2
    assert blamed.first_failure([("a", "ordinary")], "n.ipynb") is None


@pytest.mark.parametrize(
    "text", ["2026-11-20T12:00:00Z", "2026-11-20T12:00:00.123456789Z", "2026-11-20T13:00:00+01:00"]
)
def test_a_moment_is_read(text: str) -> None:
    """With as many digits as the service likes."""
    wanted = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC).timestamp()
    found = follow.seconds(text)
    assert found is not None
    assert int(found) == wanted
    assert follow.seconds("") is None
    assert follow.seconds("soon") is None
