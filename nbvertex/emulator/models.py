"""The Model Registry: models, their versions, and the aliases that point at them.

Each version is kept as `MODEL/versions/NUMBER`; the row `MODEL` is a copy of its default version, which is what Get and
List give where no version is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.crud import check_etag, merge, new_etag, new_id
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message
from nbvertex.emulator.store import not_found
from nbvertex.emulator.world import World

ALIAS = re.compile(r"[a-z](?:[a-zA-Z0-9-]{0,126}[a-z0-9])?")
MODEL_ID = re.compile(r"[a-z](?:[a-z0-9_-]{0,62})")
DEFAULT = "default"
DEDICATED = 1  # DeploymentResourcesType.DEDICATED_RESOURCES


class Models:
    """The models of all projects.

    Args:
        world: the emulator.
    """

    def __init__(self, world: World) -> None:
        self._world, self._store = world, world.store

    def serve(self, table: Table) -> None:
        """Answer what concerns versions; evaluations and the rest are as for every resource."""
        table.serve(
            "ModelService",
            UploadModel=self._upload,
            GetModel=lambda call: self.get(call.request.name),
            UpdateModel=self._update,
            DeleteModel=self._delete,
            ListModelVersions=self._versions,
            MergeVersionAliases=self._merge,
            DeleteModelVersion=self._delete_version,
            ImportModelEvaluation=self._evaluation,
            CopyModel=self._copy,
        )

    def get(self, name: str) -> Message:
        """A model, or a version of it.

        Args:
            name: its resource name; behind an ``@`` the number or an alias of a version.

        Raises:
            ApiError: there is none.
        """
        model, _, version = name.partition("@")
        if not version:
            return self._store.get(model)
        found = self._version(model, version)
        found.name = self._store.canonical(model)
        return found

    def upload(self, parent: str, model: Message, model_id: str = "", parent_model: str = "") -> Message:
        """Keep a new model, or a new version of one.

        Args:
            parent: ``projects/P/locations/L``.
            model: what is uploaded.
            model_id: its id; "": a number.
            parent_model: the model of which it is a version; "": it is a new one.

        Returns:
            the version as it is kept.

        Raises:
            ApiError: something in it cannot be.
        """
        if not model.display_name:
            raise ApiError("INVALID_ARGUMENT", "The model's display_name is required.")
        for alias in model.version_aliases:
            check_alias(alias)
        with self._store.transaction():
            name = self._name(parent, model_id, parent_model)
            number = str(max((int(v.version_id) for v in self._all(name)), default=0) + 1)
            made = type(model)()
            made.CopyFrom(model)
            made.name, made.version_id, made.etag = f"{name}/versions/{number}", number, new_etag()
            aliases = list(dict.fromkeys(model.version_aliases))
            if number == "1" and DEFAULT not in aliases:
                aliases.append(DEFAULT)
            del made.version_aliases[:]
            made.supported_deployment_resources_types[:] = [DEDICATED]
            self._world.crud.stamp(
                made, "create_time", "update_time", "version_create_time", "version_update_time"
            )
            if number != "1":
                made.create_time.CopyFrom(self._version(name, "1", oldest=True).create_time)
            self._store.add(made)
            self._point(name, number, aliases)
            return self.get(f"{name}@{number}")

    def _name(self, parent: str, model_id: str, parent_model: str) -> str:
        if parent_model:
            name = self._store.canonical(parent_model.partition("@")[0])
            self._store.get(name)
            return name
        if model_id and not MODEL_ID.fullmatch(model_id):
            raise ApiError("INVALID_ARGUMENT", f"model_id {model_id!r} must match {MODEL_ID.pattern}.")
        name = self._store.canonical(f"{parent}/models/{model_id or new_id()}")
        if self._store.find(name) is not None:
            raise ApiError("ALREADY_EXISTS", f"Model '{name}' already exists.")
        return name

    def _all(self, name: str) -> list[Message]:
        """The versions of a model, oldest first."""
        return self._store.children(name, "versions")

    def _version(self, name: str, wanted: str, *, oldest: bool = False) -> Message:
        versions = self._all(name)
        if oldest and versions:
            return versions[0]
        for version in versions:
            if wanted == version.version_id or wanted in version.version_aliases:
                return version
        raise not_found(f"{name}@{wanted}")

    def _point(self, name: str, number: str, aliases: Iterable[str], gone: Iterable[str] = ()) -> None:
        """Let aliases point at one version only, and the model's own row follow its default version."""
        aliases, gone = list(aliases), set(gone)
        for version in self._all(name):
            kept = [a for a in version.version_aliases if a not in aliases]
            if version.version_id == number:
                kept = [a for a in version.version_aliases if a not in gone]
                kept += [a for a in aliases if a not in kept]
            version.version_aliases[:] = kept
            self._store.put(version)
            if DEFAULT in kept:
                head = type(version)()
                head.CopyFrom(version)
                head.name = name
                self._store.put(head)

    def _upload(self, call: Call) -> Message:
        request = call.request
        made = self.upload(request.parent, request.model, request.model_id, request.parent_model)
        reply = call.new("UploadModelResponse", model=made.name, model_version_id=made.version_id)
        return self._world.operations.done(call, reply, made.name)

    def _update(self, call: Call) -> Message:
        """Without a version the model's own fields change, in all versions; else those of the version."""
        new, mask = call.request.model, list(call.request.update_mask.paths)
        name, _, version = new.name.partition("@")
        name = self._store.canonical(name)
        whole = version in ("", "-")
        with self._store.transaction():
            head = self._store.get(name)
            touched = self._all(name) if whole else [self._version(name, version)]
            if new.etag and new.etag not in [one.etag for one in touched]:
                check_etag(touched[-1], new)
            for one in touched:
                own = (one.name, one.version_id, list(one.version_aliases), one.version_description)
                merge(one, new, mask or ["display_name", "description", "labels", "version_description"])
                one.name, one.version_id, one.version_aliases[:] = own[:3]
                if whole:
                    one.version_description = own[3]
                one.etag = new_etag()
                self._world.crud.stamp(one, "update_time", *([] if whole else ["version_update_time"]))
                self._store.put(one)
            self._point(name, head.version_id, ())
        return self.get(name if whole else f"{name}@{touched[0].version_id}")

    def _delete(self, call: Call) -> Message:
        name = self._store.canonical(call.request.name.partition("@")[0])
        model = self._store.get(name)
        self._refuse_deployed(name, None)
        self._store.delete(name)
        return self._world.operations.done(call, call.new("google.protobuf.Empty"), model.name)

    def _refuse_deployed(self, name: str, number: str | None) -> None:
        """A model that an endpoint serves stays."""
        for endpoint in self._store.all("endpoints"):
            for deployed in endpoint.deployed_models:
                model, _, version = deployed.model.partition("@")
                same = number is None or number == (version or deployed.model_version_id)
                if self._store.canonical(model) == name and same:
                    raise ApiError(
                        "FAILED_PRECONDITION",
                        f'The Model "{name}" is deployed or being deployed at the following Endpoint(s): '
                        f'["{endpoint.name}"].',
                    )

    def _versions(self, call: Call) -> Message:
        name = self._store.canonical(call.request.name.partition("@")[0])
        self._store.get(name)
        versions = self._all(name)
        for version in versions:
            version.name = name
        return self._world.crud.list(call, versions)

    def _merge(self, call: Call) -> Message:
        name, _, wanted = call.request.name.partition("@")
        name = self._store.canonical(name)
        with self._store.transaction():
            number = self._version(name, wanted).version_id if wanted else self._store.get(name).version_id
            added = [alias for alias in call.request.version_aliases if not alias.startswith("-")]
            gone = [alias[1:] for alias in call.request.version_aliases if alias.startswith("-")]
            if DEFAULT in gone:
                raise ApiError("INVALID_ARGUMENT", "The alias 'default' cannot be removed, only moved.")
            for alias in added:
                check_alias(alias)
            self._point(name, number, added, gone)
        return self.get(f"{name}@{number}")

    def _delete_version(self, call: Call) -> Message:
        name, _, wanted = call.request.name.partition("@")
        name = self._store.canonical(name)
        if not wanted:
            raise ApiError("INVALID_ARGUMENT", "The name must say the version: MODEL@VERSION.")
        version = self._version(name, wanted)
        if len(self._all(name)) == 1:
            raise ApiError(
                "FAILED_PRECONDITION", "The only version of a model cannot be deleted: delete the model."
            )
        if DEFAULT in version.version_aliases:
            raise ApiError("FAILED_PRECONDITION", "The default version of a model cannot be deleted.")
        self._refuse_deployed(name, version.version_id)
        self._store.delete(f"{name}/versions/{version.version_id}")
        return self._world.operations.done(call, call.new("google.protobuf.Empty"), name)

    def _evaluation(self, call: Call) -> Message:
        model = self.get(call.request.parent)
        made = type(call.request.model_evaluation)()
        made.CopyFrom(call.request.model_evaluation)
        made.name = f"{model.name}/evaluations/{new_id()}"
        self._world.crud.stamp(made, "create_time")
        return self._store.add(made)

    def _copy(self, call: Call) -> Message:
        source = self.get(call.request.source_model)
        del source.version_aliases[:]
        made = self.upload(call.request.parent, source, call.request.model_id, call.request.parent_model)
        reply = call.new("CopyModelResponse", model=made.name, model_version_id=made.version_id)
        return self._world.operations.done(call, reply, made.name)


def check_alias(alias: str) -> None:
    """Refuse what cannot be an alias.

    Raises:
        ApiError: it cannot.
    """
    if not ALIAS.fullmatch(alias):
        raise ApiError("INVALID_ARGUMENT", f"Version alias {alias!r} must match {ALIAS.pattern}.")


def serve(world: World, table: Table) -> None:
    """Register the Model Registry."""
    Models(world).serve(table)
