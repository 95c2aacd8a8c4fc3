"""A submission makes its jobs once, whatever goes wrong at whichever call, and tells how they end."""

from __future__ import annotations

import itertools
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from service import BUSY, LOGGED_OUT, LOST_AFTER, LOST_BEFORE, PASSING, REFUSED, Clock, Service

from nbvertex import garbage, once, submissions
from nbvertex.actions import remote as actions
from nbvertex.database import Database
from nbvertex.errors import NbvertexError, RemoteError
from nbvertex.events import CellOutput, RunEnded, RunEvent, RunStarted, StepChanged
from nbvertex.follow import Following, Means, cancelled
from nbvertex.home import Home
from nbvertex.patience import Fault
from nbvertex.submissions import Job, Submission, Submissions
from nbvertex.vertex import Call, Upload

WHERE = "projects/p/locations/us-central1"
PROFILE = {
    "project": "p",
    "region": "us-central1",
    "bucket": "gs://b",
    "service_account": "a@p.iam.gserviceaccount.com",
}


def job(part: int = 1, kind: Any = "job", **more: Any) -> Job:
    """A job that is to be created."""
    return Job(part=part, kind=kind, where=WHERE, ident=f"it-{part}", body={"displayName": "it"}, **more)


def of(*jobs: Job, ident: str = "20261120-1200-abcdefgh") -> Submission:
    """A submission of these jobs."""
    return Submission(
        id=ident, notebook="/n/it.ipynb", name="it", target="vertex-job", profile_name="dev", profile=PROFILE,
        parameters={}, started=1.0, jobs=jobs,
    )  # fmt: skip


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Submissions]:
    """An empty book."""
    database = Database(tmp_path / "lineage.db")
    yield Submissions(database)
    database.close()


class Case:
    """One submission against one service."""

    def __init__(self, book: Submissions, remote: Service, *jobs: Job) -> None:
        self.book, self.remote = book, remote
        self.events: list[RunEvent] = []
        self.said: list[str] = []
        clock = remote.clock
        self.means = Means(
            remote, book, self.events.append, self.said.append, sleep=clock.sleep, now=clock.now
        )
        self.submission = of(*jobs)
        book.write(self.submission)

    def run(self) -> Submission:
        """Create and follow."""
        steps = tuple(dict.fromkeys(step for one in self.submission.jobs for step in one.steps)) or ("whole",)
        self.following = Following(self.means, self.submission, steps)
        return self.following.run()


KINDS = {"pipeline": job(kind="pipeline", steps=("a", "b")), "job": job(steps=("a", "b"))}


def calls_of(kind: str, book: Submissions) -> int:
    """How many calls a submission makes where nothing goes wrong."""
    remote = Service(Clock())
    Case(book, remote, KINDS[kind]).run()
    return len(remote.calls)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_that_passes_changes_nothing(kind: str, book: Submissions) -> None:
    """Each fault at each call: the run ends well, and one job was made."""
    for number, fault in itertools.product(range(1, calls_of(kind, book) + 1), PASSING):
        remote = Service(Clock(), {number: fault})
        done = Case(book, remote, KINDS[kind]).run()
        assert (done.state, len(remote.jobs)) == ("done", 1), (number, fault, remote.calls)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first, second", list(itertools.product(PASSING, PASSING)))
def test_two_faults_in_a_row_change_nothing(kind: str, first: str, second: str, book: Submissions) -> None:
    """Any two faults, one right after the other, or with one call between: one job."""
    for number, gap in itertools.product(range(1, calls_of(kind, book) + 1), (1, 2)):
        remote = Service(Clock(), {number: first, number + gap: second})
        try:
            done = Case(book, remote, KINDS[kind]).run()
        except RemoteError:  # logged out for good: nothing was made, or it is known
            assert LOGGED_OUT in (first, second)
            assert len(remote.jobs) <= 1
        else:
            assert (done.state, len(remote.paid)) == ("done", 1), (number, gap, remote.calls)


@pytest.mark.parametrize("kind", KINDS)
def test_a_create_whose_reply_is_always_lost_makes_one_job(kind: str, book: Submissions) -> None:
    """It was done each time: the first is found, and no second is made."""
    remote = Service(Clock(), lambda call, number: LOST_AFTER if ".Create" in call.method else None)
    assert Case(book, remote, KINDS[kind]).run().state == "done"
    assert len(remote.jobs) == 1
    assert sum(".Create" in call for call in remote.calls) == 1


@pytest.mark.parametrize("behind", [1.0, 5.0, 40.0])
def test_a_list_that_is_behind_is_waited_for(behind: float, book: Submissions) -> None:
    """The job appears late in lists: it is found, and none is made again."""
    remote = Service(Clock(), {1: LOST_AFTER}, behind=behind, lasts=100.0)
    assert Case(book, remote, job(steps=("a",))).run().state == "done"
    assert len(remote.jobs) == 1


def test_a_surplus_job_is_cancelled(book: Submissions) -> None:
    """Lists were behind for longer than anybody waits: when two have come to light, one is paid for."""
    remote = Service(Clock(), {1: LOST_AFTER}, behind=60.0, lasts=1000.0)
    remote.on_create = lambda: remote.clock.sleep(61.0) if len(remote.jobs) else None
    Case(book, remote, job(steps=("a",))).run()
    assert len(remote.jobs) == 2
    assert len(remote.paid) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_where_nobody_can_tell_none_is_made_again(kind: str, book: Submissions) -> None:
    """After a lost reply no question is answered: the submission is unknown, and says how to find out."""
    remote = Service(Clock(), lambda call, number: LOST_AFTER if number == 1 else LOST_BEFORE)
    case = Case(book, remote, KINDS[kind])
    with pytest.raises(RemoteError, match="nobody can tell") as caught:
        case.run()
    kept = book.get("last")
    assert kept is not None
    assert caught.value.hint is not None
    assert kept.id in caught.value.hint
    assert (kept.state, kept.jobs[0].state, len(remote.jobs)) == ("unknown", "unknown", 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [BUSY, LOGGED_OUT, REFUSED, LOST_BEFORE])
def test_what_does_not_pass_is_told(kind: str, fault: str, book: Submissions) -> None:
    """Creating fails for good: exit code 3, no job, and the book says so."""
    remote = Service(Clock(), lambda call, number: fault if ".Create" in call.method else None)
    with pytest.raises(RemoteError):
        Case(book, remote, KINDS[kind]).run()
    kept = book.get("last")
    assert kept is not None
    assert (kept.state, remote.jobs) == ("failed", {})
    tries = sum(".Create" in call for call in remote.calls)
    assert tries == {REFUSED: 1, LOGGED_OUT: 2}.get(fault, tries)
    assert fault in (REFUSED, LOGGED_OUT) or tries > 5


def test_intent_is_durable_before_anything_is_made(book: Submissions) -> None:
    """When the service is asked to create a job, the book already holds it."""
    remote = Service(Clock())
    case = Case(book, remote, KINDS["job"])
    seen: list[Any] = []
    remote.on_create = lambda: seen.append(book.get(case.submission.id))
    case.run()
    assert [one.jobs[0].state for one in seen] == ["submitting"]


def test_a_job_carries_its_label(book: Submissions) -> None:
    """By which it is found, here and in the console."""
    remote = Service(Clock())
    case = Case(book, remote, KINDS["pipeline"])
    case.run()
    (made,) = remote.jobs.values()
    assert made["labels"]["nbv-submission"] == case.submission.id


# --- watching ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [30, 3600, 6 * 3600])
@pytest.mark.parametrize("fault", [LOST_BEFORE, LOGGED_OUT, BUSY])
def test_an_outage_while_watching_is_waited_out(seconds: float, fault: str, book: Submissions) -> None:
    """However long nobody answers, the run goes on; who watches is told so once."""
    clock = Clock()
    begun = clock.now() + 3

    def faults(call: Any, number: int) -> str | None:
        return fault if begun < clock.now() < begun + seconds else None

    remote = Service(clock, faults, lasts=60.0)
    case = Case(book, remote, KINDS["job"])
    assert case.run().state == "done"
    assert len(remote.jobs) == 1
    told = [line for line in case.said if "goes on" in line]
    assert len(told) == (1 if fault == LOGGED_OUT or seconds > 60 else 0)


@pytest.mark.parametrize(
    "end, state",
    [("SUCCEEDED", "done"), ("FAILED", "failed"), ("CANCELLED", "interrupted"), ("EXPIRED", "failed"), ("PARTIALLY_SUCCEEDED", "failed")],
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_every_end_is_known(kind: str, end: str, state: str, book: Submissions) -> None:
    """As the service ended it, so the book and the last event say."""
    case = Case(book, Service(Clock(), ends=(end,)), KINDS[kind])
    done = case.run()
    kept = book.get(done.id)
    assert kept is not None
    assert (done.state, kept.state) == (state, state)
    last = case.events[-1]
    assert isinstance(last, RunEnded)
    assert last.state == state
    assert isinstance(case.events[0], RunStarted)


def test_a_failed_job_is_not_made_again(book: Submissions) -> None:
    """Unless its step asks for it."""
    remote = Service(Clock(), ends=("FAILED",))
    assert Case(book, remote, job(steps=("a",))).run().state == "failed"
    assert len(remote.jobs) == 1


@pytest.mark.parametrize("fails, state, made", [(1, "done", 2), (2, "done", 3), (3, "failed", 3)])
def test_retries_are_what_the_step_asks_for(fails: int, state: str, made: int, book: Submissions) -> None:
    """Two retries: three jobs at most, each labelled as its own attempt."""
    remote = Service(Clock(), ends=(*["FAILED"] * fails, "SUCCEEDED"))
    case = Case(book, remote, job(steps=("a",), attempts=3))
    assert case.run().state == state
    assert [one["labels"]["nbv-job"] for one in remote.jobs.values()] == [f"1-{n + 1}" for n in range(made)]


def test_jobs_wait_for_those_before_them(book: Submissions) -> None:
    """A diamond of four: created in order, the two in the middle side by side."""
    remote = Service(Clock())
    diamond = (
        job(1, steps=("a",)), job(2, steps=("b",), after=(1,)), job(3, steps=("c",), after=(1,)),
        job(4, steps=("d",), after=(2, 3)),
    )  # fmt: skip
    case = Case(book, remote, *diamond)
    assert case.run().state == "done"
    order = [
        (one.step, one.state)
        for one in case.events
        if isinstance(one, StepChanged) and one.state in ("running", "done")
    ]
    assert order.index(("a", "done")) < order.index(("b", "running"))
    assert order.index(("c", "running")) < order.index(("b", "done"))
    assert order.index(("c", "done")) < order.index(("d", "running"))


def test_what_comes_after_a_failure_is_not_made(book: Submissions) -> None:
    """The job that failed is the last one of its line."""
    remote = Service(Clock(), ends=("FAILED",))
    done = Case(book, remote, job(1, steps=("a",)), job(2, steps=("b",), after=(1,))).run()
    assert (done.state, len(remote.jobs)) == ("failed", 1)


@pytest.mark.parametrize("fault", PASSING)
def test_faults_change_nothing_about_many_jobs(fault: str, book: Submissions) -> None:
    """Each fault at each call of three jobs in a line: three jobs."""
    line = (job(1, steps=("a",)), job(2, steps=("b",), after=(1,)), job(3, steps=("c",), after=(2,)))
    remote = Service(Clock())
    Case(book, remote, *line).run()
    for number in range(1, len(remote.calls) + 1):
        hit = Service(Clock(), {number: fault})
        assert Case(book, hit, *line).run().state == "done", number
        assert len(hit.jobs) == 3, number


def test_what_steps_print_is_shown_once(book: Submissions) -> None:
    """Lines are read over and over, and told once, with the step that printed them."""
    remote = Service(Clock(), lasts=40.0)
    remote.lines["1"] = ["hello", "world"]
    case = Case(book, remote, job(steps=("a",)))
    case.run()
    shown = [(one.step, one.output["text"]) for one in case.events if isinstance(one, CellOutput)]
    assert shown == [("a", "hello\n"), ("a", "world\n")]


def test_a_log_that_may_not_be_read_is_said_once(book: Submissions) -> None:
    """And the run goes on without it."""
    remote = Service(Clock(), lambda call, number: REFUSED if "logging" in call.method else None, lasts=60.0)
    case = Case(book, remote, job(steps=("a",)))
    assert case.run().state == "done"
    assert len([line for line in case.said if "roles/logging.viewer" in line]) == 1


# --- stopping ---------------------------------------------------------------------------------------------


def interrupted(clock: Clock, after: float) -> Callable[[float], None]:
    """To sleep, with a Ctrl-C once so many seconds have passed."""
    begun, done = clock.now(), []

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if not done and clock.now() - begun >= after:
            done.append(1)
            signal.raise_signal(signal.SIGINT)

    return sleep


@pytest.mark.parametrize("after", [0.1, 3.0, 8.0])
@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_cancels_what_runs(kind: str, after: float, book: Submissions) -> None:
    """Ctrl-C while waiting: the service is asked to cancel, and the job is named."""
    remote = Service(Clock(), lasts=1000.0)
    case = Case(book, remote, KINDS[kind])
    case.means.sleep = interrupted(remote.clock, after)
    with pytest.raises(KeyboardInterrupt):
        case.run()
    (name,) = remote.jobs
    assert remote.paid == []
    assert case.said == [f"asked Vertex AI to cancel {name}"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("behind", [0.0, 4.0])
def test_an_interrupt_while_it_is_open_whether_a_job_was_made(
    kind: str, behind: float, book: Submissions
) -> None:
    """The reply was lost, and Ctrl-C came before the job was found: it is found by its label, and cancelled."""
    remote = Service(Clock(), {1: LOST_AFTER, 2: LOST_BEFORE}, behind=behind, lasts=1000.0)
    case = Case(book, remote, KINDS[kind])
    case.means.sleep = interrupted(remote.clock, 0.1)
    with pytest.raises(KeyboardInterrupt):
        case.run()
    assert (len(remote.jobs), remote.paid) == (1, [])


def test_an_interrupt_before_anything_was_sent_leaves_nothing(book: Submissions) -> None:
    """While uploading is tried again: no job, and none is looked for."""
    remote = Service(Clock(), lambda call, number: LOST_BEFORE if call.method == "put" else None)
    case = Case(book, remote, KINDS["job"])
    case.means.sleep = interrupted(remote.clock, 3.0)
    following = Following(case.means, case.submission, ("a",))
    with pytest.raises(KeyboardInterrupt):
        following.run([Upload("b", "n", b"x")])
    kept = book.get("last")
    assert kept is not None
    assert (kept.state, remote.jobs, set(remote.calls)) == ("interrupted", {}, {"put"})


def test_an_upload_that_is_refused_is_the_end(book: Submissions) -> None:
    """No job is created, and the book says why."""
    remote = Service(Clock(), {1: REFUSED})
    case = Case(book, remote, KINDS["job"])
    with pytest.raises(RemoteError, match="permission denied"):
        Following(case.means, case.submission, ("a",)).run([Upload("b", "n", b"x")])
    kept = book.get("last")
    assert kept is not None
    assert (kept.state, kept.error, remote.calls) == ("failed", "put: permission denied", ["put"])


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_cancelled_is_named(kind: str, book: Submissions) -> None:
    """With the command that stops it."""
    remote = Service(
        Clock(), lambda call, number: LOST_BEFORE if ".Cancel" in call.method else None, lasts=1000.0
    )
    case = Case(book, remote, KINDS[kind])
    case.means.sleep = interrupted(remote.clock, 3.0)
    with pytest.raises(KeyboardInterrupt):
        case.run()
    (name,) = remote.jobs
    assert any(name in line and "may go on" in line for line in case.said)
    assert any("cancel" in line and line.startswith("to stop it: ") for line in case.said)


def test_a_submission_whose_fate_was_open_is_cancelled_by_its_label(book: Submissions) -> None:
    """The process ended between the call and its reply: the job is found and cancelled, or was never made."""
    for fault, jobs in ((LOST_AFTER, 1), (LOST_BEFORE, 0)):
        remote = Service(Clock(), lambda call, number, fault=fault: fault if number == 1 else None)  # type: ignore[misc]
        case = Case(book, remote, KINDS["job"])
        with pytest.raises(Fault):
            remote.ask(once.sent(case.submission.id, case.submission.jobs[0]))
        sent = case.submission.having(msgspec.structs.replace(case.submission.jobs[0], sent=True))
        cancelled(case.means, sent)
        assert (len(remote.jobs), remote.paid) == (jobs, [])


# --- the book ---------------------------------------------------------------------------------------------


def test_ids_differ_across_machines() -> None:
    """Many share a project, and the label must tell their submissions apart."""
    made = {submissions.new_id(1.0) for _ in range(2000)}
    assert len(made) == 2000


def test_a_submission_is_found_by_its_ends(book: Submissions) -> None:
    """By its id, by its beginning or end where these are its own, and as the last."""
    for ident, started in (("20261120-1200-aaaaaaaa", 1.0), ("20261120-1201-bbbbbbbb", 2.0)):
        book.write(msgspec.structs.replace(of(job()), id=ident, started=started))
    found = book.get("aaaa")
    assert found is not None
    assert found.id.endswith("aaaaaaaa")
    newest = book.get("last")
    assert newest is not None
    assert newest.id.endswith("bbbbbbbb")
    assert book.get("nothing") is None
    with pytest.raises(NbvertexError, match="more than one"):
        book.get("2026")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sent, made, state", [(True, True, "done"), (True, False, "interrupted"), (False, False, "interrupted")]
)
def test_what_became_of_it_when_the_command_is_gone(
    sent: bool, made: bool, state: str, kind: str, tmp_path: Path
) -> None:
    """The process died at whichever moment: the job is found by its label, or nobody will create it any more."""
    home = Home(tmp_path / "home")
    left = of(msgspec.structs.replace(KINDS[kind], sent=sent))
    with actions.book_of(home) as book:
        book.write(left)
    remote = Service(Clock(), lasts=0.0)
    if made:
        remote.ask(once.sent(left.id, left.jobs[0]))
        remote.clock.sleep(5.0)
    found, trouble = actions.shown(home, left, remote)
    assert (found.state, trouble) == (state, None)
    assert len(remote.jobs) == int(made)
    kept = actions.named(home, left.id)
    assert kept == found


def test_old_submissions_are_forgotten_and_running_ones_are_not(tmp_path: Path) -> None:
    """`runs gc --keep 0`: what has ended goes with its output notebook, what may go on stays."""
    home = Home(tmp_path / "home")
    with actions.book_of(home) as book:
        for ident, state in (("20261120-1200-aaaaaaaa", "done"), ("20261120-1201-bbbbbbbb", "running")):
            book.write(msgspec.structs.replace(of(job(), ident=ident), state=state))
    folder = home.runs / "20261120-1200-aaaaaaaa"
    folder.mkdir()
    found = garbage.collect(home, keep=0, older_than=None, limit=None, dry_run=False)
    assert found.runs == ("20261120-1200-aaaaaaaa",)
    assert not folder.exists()
    assert [one.state for one in actions.listed(home)] == ["running"]


class Killed(BaseException):
    """The process is gone from one moment to the next."""


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_whenever_the_command_is_killed_the_job_is_known(kind: str, is_done: bool, tmp_path: Path) -> None:
    """At each call, before or after it was done: whoever asks later finds the one job, or that there is none."""
    number, died = 0, True
    while died:
        number, died = number + 1, False
        home, remote = Home(tmp_path / str(number)), Service(Clock())
        home.prepare()
        database = Database(home.database)
        case = Case(Submissions(database), remote, KINDS[kind])

        def kill(call: Call, at: int, last: int = number, service: Service = remote) -> str | None:
            if at == last:
                if is_done:
                    service._answer(call)
                raise Killed
            return None

        remote._fault = kill
        try:
            case.run()
        except Killed:
            died = True
        database.close()
        remote._fault = lambda call, at: None
        remote.clock.sleep(60.0)
        (left,) = actions.listed(home)
        found, trouble = actions.shown(home, left, remote)
        assert trouble is None
        assert (len(remote.jobs), found.state) in ((1, "done"), (0, "interrupted")), number
    assert number > 5


def test_random_faults_make_no_two_jobs(book: Submissions) -> None:
    """A third of all calls goes wrong, in any way, with lists that are behind: each submission is one job, or is known not to be."""
    ends = {"done": 0, "given up": 0}
    for seed in range(150):
        chance = random.Random(seed)
        wrongs = [chance.choice(PASSING) if chance.random() < 0.33 else None for _ in range(500)]
        remote = Service(
            Clock(),
            lambda call, at, wrongs=wrongs: wrongs[at % 500],
            behind=chance.choice([0.0, 2.0, 9.0]),
            lasts=100.0,
        )  # type: ignore[misc]
        case = Case(book, remote, KINDS[chance.choice(list(KINDS))])
        try:
            done = case.run()
        except RemoteError:  # twice logged out in a row
            ends["given up"] += 1
            assert len(remote.paid) <= 1, seed
        else:
            ends["done"] += 1
            assert (done.state, len(remote.paid)) == ("done", 1), seed
    assert ends["done"] > 100
