"""Vertex AI, Cloud Storage and their like on the loopback of this machine, for Google's own clients as they are.

What stands where
    `schema` and `described` know the messages and methods, `calls.Table` who serves which, `crud` what Create, Get, List,
    Update and Delete mean for all the others. `dispatcher` is the one place through which every call goes; `grpc_door`
    and `rest` lead to it, `http_door` is the socket before both, with the proxy and TLS. `store` keeps resources in
    SQLite, `buckets` objects as plain files. `world.World` holds all of it; `server` puts it behind its doors,
    `serving` runs it, `hosting` is the side of whoever wants one.

How a service is written
    A module has `serve(world, table)` and stands in `services.SERVICES`. It registers what is special about its methods:

        def serve(world: World, table: Table) -> None:
            table.serve("JobService", CreateCustomJob=create, CancelCustomJob=cancel)

    A handler takes a `Call` and gives the response, or raises `ApiError`. One registration serves gRPC and REST, v1 and
    v1beta1: requests arrive as v1, replies leave as what was called. What is not registered is served by `world.crud`,
    which a handler uses for the usual part: `crud.create(call, state=PENDING)`, `crud.drafted(call)`, `crud.delete(call)`.

Resources
    `world.store` keeps messages by name: `get`, `find`, `add`, `put`, `update(name, change)`, `delete`,
    `children(parent, collection)`, `all(collection)`; `transaction()` makes several of them one. Project ids become
    numbers in names, as with Google. `note`, `set_note`, `notes`, `remove_note` keep any JSON. All of it survives a
    kill -9: a service that does work looks at `all(...)` when it registers and takes up what was under way.

Long-running operations
    `world.operations.done(call, response, about)` answers at once; `start(call, about)` gives a pending one, which
    `finish(name, response)` or `fail(name, error)` ends later. A method whose response is an operation and that `crud`
    serves is wrapped by itself.

Work without a call
    `world.background.add(turn, close)`: `turn(now)` does what is due, quickly, and gives when it wants its next turn on
    the emulator's clock, or None; `world.background.wake()` gives everybody a turn now. `world.clock.now()` is the time,
    which `POST /clock/advance` moves; that wakes everybody, too.

Processes
    `world.environment(identity)` is what a child has in its environment: a door of its own at which it is that service
    account, with a metadata server and no key. `world.path("gs://B/NAME")` is the file behind an object.
    `world.logs.say(job, log, lines, severity)` enters what it prints; `world.logs.of_job(job)` reads it.

Faults
    `world.faults.at("preempt", name)` is asked at moments that a test may want to go wrong; calls are hit by the
    dispatcher itself.
"""
