"""Tell a run to the experiment that its profile names; whatever goes wrong there is a warning, never a reason to fail."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from nbvertex.errors import NbvertexError

if TYPE_CHECKING:
    from nbvertex.config import Settings
    from nbvertex.events import RunResult
    from nbvertex.follow import Means
    from nbvertex.patience import Patience
    from nbvertex.submissions import Submission
    from nbvertex.vertex import Door

PATIENCE = 20.0


def of_run(settings: Settings, result: RunResult, door: Door | None = None) -> str | None:
    """Tell a run on this machine; gives what went wrong.

    Args:
        settings: of the project: the profile that they name may name an experiment.
        result: what the run did.
        door: to the service; None: Google's.
    """
    from nbvertex import profiles

    try:
        chosen = profiles.choose(settings, None)
    except NbvertexError as error:
        return _warning("", str(error))
    experiment = chosen.profile.experiment
    if experiment is None:
        return None
    lacking = [name for name in ("project", "region") if getattr(chosen.profile, name) is None]
    if lacking:
        return _warning(experiment, f"the profile {chosen.name} names no {' and no '.join(lacking)}")
    from nbvertex import experiments
    from nbvertex.patience import Fault, Patience
    from nbvertex.reaching import reached

    metrics = {name: value for step in result.steps.values() for name, value in step.measures.items()}
    told = experiments.Told(result.run, result.state, result.parameters, metrics)
    try:
        if door is not None:
            experiments.tell(door, Patience(PATIENCE, refresh=door.refresh), chosen.profile, told)
            return None
        with reached(chosen.profile) as way:
            experiments.tell(way, Patience(PATIENCE, refresh=way.refresh), chosen.profile, told)
    except (Fault, NbvertexError) as error:
        return _warning(experiment, str(error))
    return None


def of_submission(means: Means, submission: Submission) -> str | None:
    """Tell a run at Vertex AI; gives what went wrong.

    Args:
        means: what the service is asked with.
        submission: it, as it is now.
    """
    from nbvertex import experiments, service
    from nbvertex.patience import Fault

    profile = submission.where
    if profile.experiment is None:
        return None
    patience = means.patience(PATIENCE)
    context = ""
    try:
        for job in submission.jobs:
            if job.kind == "pipeline" and job.resource is not None:
                call = service.get(job.resource)
                found = patience.ask(partial(means.door.ask, call))
                context = found.get("jobDetail", {}).get("pipelineRunContext", {}).get("name", "")
        metrics = {} if context else _metrics(means.door, patience, submission)
        told = experiments.Told(
            submission.id, submission.state, submission.parameters, metrics, pipeline_run=context
        )
        experiments.tell(means.door, patience, profile, told)
    except Fault as fault:
        return _warning(profile.experiment, str(fault))
    return None


def _metrics(door: Door, patience: Patience, submission: Submission) -> dict[str, float]:
    """The numbers that the steps of custom jobs have left."""
    found: dict[str, float] = {}
    for seen in submission.seen.values():
        if seen.state == "done" and seen.state_url:
            url = f"{seen.state_url.removesuffix('/state')}/metrics.json"
            data = patience.ask(partial(door.read, url))
            found |= json.loads(data) if data is not None else {}
    return found


def _warning(experiment: str, why: str) -> str:
    return f"warning: the experiment {experiment} was not told of this run: {why}".replace("  ", " ")
