"""EndpointService and PredictionService: models behind endpoints, which share their traffic."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.engine import Engine
from nbvertex.emulator.model_servers import Answer, ModelServers, Wanted, container_of
from nbvertex.emulator.models import Models
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message, as_json, from_json
from nbvertex.emulator.tasks import new_id
from nbvertex.emulator.world import World

NEW = "0"  # the deployed model that a request is about to make, in its traffic split
STATUSES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}


class Endpoints:
    """The endpoints.

    Args:
        world: the emulator.
        engine: runs servers.
        servers: the servers.
    """

    def __init__(self, world: World, engine: Engine, servers: ModelServers) -> None:
        self._world = world
        self._engine = engine
        self._servers = servers
        self._models = Models(world)
        self._shares: dict[str, dict[str, float]] = {}
        self._lock = threading.Lock()

    def serve(self, table: Table) -> None:
        """Answer what is special about them."""
        table.serve(
            "EndpointService",
            DeployModel=self._deploy,
            UndeployModel=self._undeploy,
            MutateDeployedModel=self._mutate,
            UpdateEndpoint=self._update,
            DeleteEndpoint=self._delete,
        )
        table.serve(
            "PredictionService",
            Predict=self._predict,
            RawPredict=self._raw_predict,
            StreamRawPredict=lambda call: iter([self._raw_predict(call)]),
        )

    # --- deploying ----------------------------------------------------------------------------------------

    def _deploy(self, call: Call) -> Message:
        endpoint = self._world.store.get(call.request.endpoint)
        model = self._models.get(call.request.deployed_model.model)
        container_of(model)
        deployed = type(call.request.deployed_model)()
        deployed.CopyFrom(call.request.deployed_model)
        deployed.id = deployed.id or str(new_id())
        deployed.model_version_id = model.version_id
        deployed.model = f"{model.name.partition('@')[0]}"
        deployed.display_name = deployed.display_name or model.display_name
        self._world.crud.stamp(deployed, "create_time")
        asked = dict(call.request.traffic_split)
        split = {deployed.id if key == NEW else key: share for key, share in asked.items()}
        if not endpoint.deployed_models and not split:
            split = {deployed.id: 100}
        _check_split(split, {deployed.id, *(one.id for one in endpoint.deployed_models)})
        operation = self._world.operations.start(call, endpoint.name)
        self._engine.start(
            operation.name, lambda: self._deploying(operation.name, endpoint.name, deployed, split)
        )
        return operation

    async def _deploying(
        self, operation: str, endpoint: str, deployed: Message, split: Mapping[str, int]
    ) -> None:
        def change(one: Message) -> None:
            one.deployed_models.append(deployed)
            _set_split(one, split)
            self._world.crud.stamp(one, "update_time")

        try:
            await self._servers.port(self._wanted(endpoint, deployed))
            self._world.store.update(endpoint, change)
        except ApiError as error:
            self._world.operations.fail(operation, error)
            return
        reply = self._world.schema.message("google.cloud.aiplatform.v1.DeployModelResponse")
        self._world.operations.finish(operation, reply(deployed_model=deployed))

    def _wanted(self, endpoint: str, deployed: Message) -> Wanted:
        version = f"@{deployed.model_version_id}" if deployed.model_version_id else ""
        model = self._models.get(f"{deployed.model}{version}")
        variables = (
            ("AIP_ENDPOINT_ID", endpoint.rpartition("/")[2]),
            ("AIP_DEPLOYED_MODEL_ID", deployed.id),
        )
        return Wanted(
            deployed.id,
            endpoint,
            container_of(model),
            model.artifact_uri,
            deployed.service_account,
            variables,
        )

    def _undeploy(self, call: Call) -> Message:
        ident, asked = call.request.deployed_model_id, dict(call.request.traffic_split)

        def change(one: Message) -> None:
            left = [deployed for deployed in one.deployed_models if deployed.id != ident]
            if len(left) == len(one.deployed_models):
                raise ApiError("NOT_FOUND", f"DeployedModel {ident} is not deployed to {one.name}.")
            if left and not asked and one.traffic_split.get(ident, 0):
                raise ApiError("FAILED_PRECONDITION", f"DeployedModel {ident} still has traffic.")
            _check_split(asked, {deployed.id for deployed in left})
            kept = [type(deployed).FromString(deployed.SerializeToString()) for deployed in left]
            del one.deployed_models[:]
            one.deployed_models.extend(kept)
            one.traffic_split.pop(ident, None)
            _set_split(one, asked)
            self._world.crud.stamp(one, "update_time")

        endpoint = self._world.store.update(call.request.endpoint, change)
        self._engine.call(self._servers.stop(ident))
        return self._world.operations.done(call, call.new("UndeployModelResponse"), endpoint.name)

    def _mutate(self, call: Call) -> Message:
        asked = call.request.deployed_model
        paths = {path.partition(".")[0] for path in call.request.update_mask.paths}

        def change(one: Message) -> None:
            found = next((deployed for deployed in one.deployed_models if deployed.id == asked.id), None)
            if found is None:
                raise ApiError("NOT_FOUND", f"DeployedModel {asked.id} is not deployed to {one.name}.")
            for name in paths & {"dedicated_resources", "automatic_resources"}:
                getattr(found, name).MergeFrom(getattr(asked, name))

        endpoint = self._world.store.update(call.request.endpoint, change)
        made = next(one for one in endpoint.deployed_models if one.id == asked.id)
        reply = call.new("MutateDeployedModelResponse", deployed_model=made)
        return self._world.operations.done(call, reply, endpoint.name)

    def _update(self, call: Call) -> Message:
        asked = call.request.endpoint
        if "traffic_split" in call.request.update_mask.paths:
            known = {deployed.id for deployed in self._world.store.get(asked.name).deployed_models}
            _check_split(dict(asked.traffic_split), known)
        return self._world.crud.update(call)

    def _delete(self, call: Call) -> Message:
        endpoint = self._world.store.get(call.request.name)
        if endpoint.deployed_models:
            raise ApiError(
                "FAILED_PRECONDITION",
                f"Endpoint {endpoint.name} has deployed or being-deployed models: undeploy them first.",
            )
        self._world.store.delete(endpoint.name)
        return self._world.operations.done(call, call.new("google.protobuf.Empty"), endpoint.name)

    # --- predicting ---------------------------------------------------------------------------------------

    def _predict(self, call: Call) -> Message:
        said = as_json(call.request)
        body: dict[str, Any] = {"instances": said.get("instances", [])}
        if "parameters" in said:
            body["parameters"] = said["parameters"]
        deployed, wanted = self._chosen(call.request.endpoint)
        answer = self._servers.ask(
            wanted, wanted.predict_route, json.dumps(body).encode(), "application/json"
        )
        made = predictions(answer)
        reply = from_json(
            {key: made[key] for key in ("predictions", "metadata") if key in made}, call.reply()
        )
        reply.deployed_model_id, reply.model = deployed.id, deployed.model
        reply.model_version_id, reply.model_display_name = deployed.model_version_id, deployed.display_name
        return reply

    def _raw_predict(self, call: Call) -> Message:
        sent = call.request.http_body
        _, wanted = self._chosen(call.request.endpoint)
        kind = sent.content_type or "application/json"
        answer = self._servers.ask(wanted, wanted.predict_route, sent.data, kind)
        check(answer)
        return call.reply(content_type=answer.content_type, data=answer.body)

    def _chosen(self, name: str) -> tuple[Message, Wanted]:
        """The deployed model whose turn it is by the traffic split, and its server."""
        endpoint = self._world.store.get(name)
        if not endpoint.deployed_models:
            raise ApiError(
                "FAILED_PRECONDITION", f"Endpoint {name} doesn't have traffic split: no model is deployed."
            )
        with self._lock:
            ident = turn(self._shares.setdefault(endpoint.name, {}), dict(endpoint.traffic_split))
        deployed = next((one for one in endpoint.deployed_models if one.id == ident), None)
        if deployed is None:
            raise ApiError("FAILED_PRECONDITION", f"Endpoint {name} doesn't have traffic split.")
        return deployed, self._wanted(endpoint.name, deployed)


def turn(owed: dict[str, float], split: Mapping[str, int]) -> str | None:
    """Whose turn it is, so that each has its exact share of any hundred turns.

    Args:
        owed: what each is owed; changed.
        split: their shares.
    """
    for gone in owed.keys() - split.keys():
        del owed[gone]
    for ident, share in split.items():
        owed[ident] = owed.get(ident, 0.0) + share
    open_to = [ident for ident, share in split.items() if share]
    if not open_to:
        return None
    chosen = max(open_to, key=lambda ident: owed[ident])
    owed[chosen] -= sum(split.values())
    return chosen


def predictions(answer: Answer) -> dict[str, Any]:
    """What a server predicted.

    Raises:
        ApiError: it answered with an error, or nothing that is a prediction.
    """
    check(answer)
    try:
        made = json.loads(answer.body)
    except ValueError as error:
        raise ApiError("INTERNAL", "The model server's response is not JSON.") from error
    if not isinstance(made, dict) or not isinstance(made.get("predictions"), list):
        raise ApiError("INTERNAL", "The model server's response has no list of predictions.")
    return made


def check(answer: Answer) -> None:
    """Raise what a server's error means to a client."""
    if answer.status >= 300:
        text = answer.body.decode("utf-8", "replace")[:1000]
        status = STATUSES.get(answer.status, "INVALID_ARGUMENT" if answer.status < 500 else "INTERNAL")
        raise ApiError(status, f"The model server answered with status {answer.status}: {text}")


def _check_split(split: Mapping[str, int], known: set[str]) -> None:
    if not split:
        return
    unknown = sorted(split.keys() - known)
    if unknown:
        raise ApiError(
            "INVALID_ARGUMENT", f"traffic_split names models that are not deployed: {', '.join(unknown)}."
        )
    if sum(split.values()) != 100:
        raise ApiError("INVALID_ARGUMENT", f"The traffic split must sum to 100, not {sum(split.values())}.")


def _set_split(endpoint: Message, split: Mapping[str, int]) -> None:
    if split:
        endpoint.traffic_split.clear()
        endpoint.traffic_split.update(split)
