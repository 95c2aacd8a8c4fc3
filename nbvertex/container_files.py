"""What a container image of a pipeline would be made of: so that its steps need not install anything when they begin."""

from __future__ import annotations

from nbvertex import hashes, templating
from nbvertex.bundle import Bundle


def files(bundle: Bundle) -> dict[str, str]:
    """The Dockerfile, what it installs, and how Cloud Build makes it.

    Args:
        bundle: the pipeline as it travels.
    """
    lines = requirements(bundle)
    locked = hashes.locked(lines, bundle.hashes)
    values = {
        "python": bundle.python,
        "notebook": bundle.pipeline.notebook,
        "options": ["--require-hashes"] if locked else [],
    }
    return {
        "requirements.txt": "".join(f"{line}\n" for line in locked or lines),
        "Dockerfile": templating.render("container/Dockerfile.jinja", values),
        "cloudbuild.yaml": templating.render("container/cloudbuild.yaml.jinja", values),
    }


def requirements(bundle: Bundle) -> tuple[str, ...]:
    """What all steps need, one requirement each, sorted."""
    return tuple(sorted({line for lines in bundle.requirements.values() for line in lines}))
