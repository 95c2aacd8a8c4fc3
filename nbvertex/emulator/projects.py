"""Resource Manager's projects, and the locations of Vertex AI."""

from __future__ import annotations

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.schema import Message
from nbvertex.emulator.world import World

LOCATIONS = (
    "us-central1", "us-east1", "us-east4", "us-west1", "us-west4", "europe-west1", "europe-west2", "europe-west3",
    "europe-west4", "asia-east1", "asia-northeast1", "asia-southeast1", "australia-southeast1",
)  # fmt: skip
PROJECTS = "google.cloud.resourcemanager.v3.Projects"
ACTIVE = 1


def serve(world: World, table: Table) -> None:
    """Get and search projects; a project is made when it is first named. List and get locations."""

    def project(call: Call, number: str) -> Message:
        made = call.new("google.cloud.resourcemanager.v3.Project", name=f"projects/{number}", state=ACTIVE)
        made.project_id = made.display_name = world.store.project(number)
        return made

    def get(call: Call) -> Message:
        return project(call, world.store.number(call.request.name.split("/")[-1]))

    def search(call: Call) -> Message:
        return call.reply(projects=[project(call, number) for number in world.store.notes("projects")])

    def old_project(call: Call, number: str) -> Message:
        """As version 1 has it, which gcloud asks for."""
        name = world.store.project(number)
        said = {"project_number": int(number), "project_id": name, "name": name, "lifecycle_state": ACTIVE}
        return call.new("google.cloud.resourcemanager.v1.Project", **said)

    def get_old(call: Call) -> Message:
        return old_project(call, world.store.number(call.request.project_id))

    def list_old(call: Call) -> Message:
        return call.reply(projects=[old_project(call, number) for number in world.store.notes("projects")])

    def location(call: Call, parent: str, name: str) -> Message:
        return call.new("google.cloud.location.Location", name=f"{parent}/locations/{name}", location_id=name)

    def locations(call: Call) -> Message:
        return call.reply(locations=[location(call, call.request.name, name) for name in LOCATIONS])

    def get_location(call: Call) -> Message:
        parent, _, name = call.request.name.partition("/locations/")
        return location(call, parent, name)

    table.serve(PROJECTS, GetProject=get, SearchProjects=search)
    table.serve("google.cloud.resourcemanager.v1.Projects", GetProject=get_old, ListProjects=list_old)
    table.serve("google.cloud.location.Locations", ListLocations=locations, GetLocation=get_location)
