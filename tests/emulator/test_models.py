"""The Model Registry, as aiplatform sees it."""

from __future__ import annotations

from typing import Any

import pytest

exceptions = pytest.importorskip("google.api_core.exceptions")
IMAGE = "us-docker.pkg.dev/p/r/serve:1"


@pytest.fixture
def upload(aiplatform: Any) -> Any:
    """`upload("name", parent_model=...)`, as a user calls it."""

    def call(name: str, **said: Any) -> Any:
        said.setdefault("serving_container_image_uri", IMAGE)
        return aiplatform.Model.upload(display_name=name, artifact_uri="gs://test-bucket/model", **said)

    return call


def test_versions_have_numbers_and_aliases(aiplatform: Any, upload: Any) -> None:
    """The first is the default; an alias moves with the version that was given it last."""
    first = upload("m", model_id="versions")
    assert (first.version_id, first.version_aliases) == ("1", ["default"])
    second = upload(
        "m", parent_model=first.resource_name, is_default_version=False, version_aliases=["golden"]
    )
    assert (second.version_id, second.version_aliases) == ("2", ["golden"])
    assert aiplatform.Model("versions").version_id == "1"
    assert aiplatform.Model("versions@golden").version_id == "2"
    registry = first.versioning_registry
    registry.add_version_aliases(["default", "new"], version="2")
    assert aiplatform.Model("versions").version_id == "2"
    assert aiplatform.Model("versions@1").version_aliases == []
    registry.remove_version_aliases(["new"], version="2")
    assert sorted(aiplatform.Model("versions@2").version_aliases) == ["default", "golden"]
    assert [(v.version_id, sorted(v.version_aliases)) for v in registry.list_versions()] == [
        ("2", ["default", "golden"]),
        ("1", []),
    ]


def test_a_version_goes_alone(aiplatform: Any, upload: Any) -> None:
    """The default version and the last one stay."""
    first = upload("m", model_id="deleted")
    upload("m", parent_model="deleted", is_default_version=True)
    with pytest.raises(exceptions.FailedPrecondition):
        first.versioning_registry.delete_version("2")
    first.versioning_registry.delete_version("1")
    third = upload("m", parent_model="deleted", is_default_version=False)
    assert third.version_id == "3"
    with pytest.raises(exceptions.NotFound):
        aiplatform.Model("deleted@1")
    aiplatform.Model("deleted").delete()
    with pytest.raises(exceptions.NotFound):
        aiplatform.Model("deleted")


def test_models_are_listed_and_changed(aiplatform: Any, upload: Any) -> None:
    """One row a model, whichever versions it has; labels are kept."""
    first = upload("listed", model_id="listed-a", labels={"team": "x"})
    upload("listed", parent_model="listed-a", labels={"team": "x"})
    upload("other", model_id="listed-b", labels={"team": "x"})
    found = aiplatform.Model.list(filter="labels.team=x", order_by="display_name")
    assert [(m.name, m.version_id) for m in found] == [("listed-a", "2"), ("listed-b", "1")]
    assert [m.name for m in aiplatform.Model.list(filter="model=listed-b")] == ["listed-b"]
    first.update(display_name="renamed", labels={"team": "y"})
    assert {aiplatform.Model(f"listed-a@{n}").display_name for n in (1, 2)} == {"renamed"}
    assert aiplatform.Model("listed-a").labels == {"team": "y"}


@pytest.mark.parametrize(
    "said",
    [{"model_id": "Upper"}, {"model_id": "9digit"}, {"version_aliases": ["1"]}, {"version_aliases": ["UP"]}],
)
def test_what_cannot_be_is_refused(upload: Any, said: dict[str, Any]) -> None:
    """Ids and aliases have their forms."""
    with pytest.raises(exceptions.InvalidArgument):
        upload("m", **said)
