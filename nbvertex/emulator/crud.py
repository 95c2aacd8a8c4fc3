"""What Create, Get, List, Update and Delete mean for every resource, from the names of methods and fields."""

from __future__ import annotations

import base64
import hashlib
import random
import re

from nbvertex.emulator.calls import Call
from nbvertex.emulator.clock import Clock
from nbvertex.emulator.filters import Filter, Function, ordered, snake
from nbvertex.emulator.operations import Operations
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message, Schema
from nbvertex.emulator.store import Store, split

PAGE, MOST = 100, 1000
OPERATION = "google.longrunning.Operation"


class Crud:
    """The five standard methods.

    Args:
        schema: gives the classes and templates.
        store: keeps the resources.
        clock: stamps them.
        operations: wraps what the method gives as a long-running operation.
    """

    def __init__(self, schema: Schema, store: Store, clock: Clock, operations: Operations) -> None:
        self._schema, self._store, self._clock, self._operations = schema, store, clock, operations
        self.functions: dict[str, Function] = {}

    def __call__(self, call: Call) -> Message:
        """Serve a method by its name.

        Raises:
            ApiError: the name tells nothing, or what the method itself cannot do.
        """
        verb = re.match("Create|Get|List|Update|Delete", call.method.name)
        if verb is None or call.method.kind != "unary":
            raise unserved(call)
        if verb[0] == "List":
            return self.list(call)
        made = {"Create": self.create, "Get": self.get, "Update": self.update, "Delete": self.delete}[
            verb[0]
        ](call)
        if call.method.response == OPERATION:
            return self._operations.done(call, made, self._about(call, made))
        return made

    def new_name(self, call: Call) -> str:
        """The name that a resource to be created gets: the id that the client says, else a new number.

        Raises:
            ApiError: the id cannot be one.
        """
        field = self._field(call, "Create")
        said = getattr(call.request, f"{field}_id", "")
        if said and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~%+-]{0,127}", said):
            raise ApiError("INVALID_ARGUMENT", f"{field}_id {said!r} is invalid.")
        return self._store.canonical(f"{call.request.parent}/{self.collection(call)}/{said or new_id()}")

    def create(self, call: Call, **preset: object) -> Message:
        """Keep the resource of a Create call.

        Args:
            call: the call.
            preset: fields that the service sets.
        """
        message = self.drafted(call, **preset)
        return self._store.add(message)

    def drafted(self, call: Call, **preset: object) -> Message:
        """The resource of a Create call, named and stamped, but not kept yet.

        Raises:
            ApiError: what it is to be in is not there.
        """
        field = self._field(call, "Create")
        if call.request.parent.count("/") > 3:  # deeper than projects/P/locations/L
            self._store.get(call.request.parent.partition("@")[0])
        message = type(getattr(call.request, field))()
        message.CopyFrom(getattr(call.request, field))
        fields = message.DESCRIPTOR.fields_by_name
        if "name" not in fields:
            raise unserved(call)
        message.name = self.new_name(call)
        self.stamp(message, "create_time", "update_time")
        if "etag" in fields:
            message.etag = new_etag()
        for name, value in preset.items():
            setattr(message, name, value)
        return message

    def get(self, call: Call) -> Message:
        """The resource that a Get call names."""
        return masked(self._store.get(call.request.name), call.request)

    def list(self, call: Call, messages: list[Message] | None = None) -> Message:
        """One page of the resources that a List call asks for.

        Args:
            call: the call.
            messages: what there is, newest last; None: the children of the call's parent.
        """
        request, reply = call.request, call.reply()
        field = next(f for f in reply.DESCRIPTOR.fields if f.message_type is not None and f.is_repeated)
        if messages is None:
            messages = self._store.children(request.parent, self.collection(call))
        test = Filter(getattr(request, "filter", ""), functions=self.functions, same=self._store.canonical)
        kept = ordered(
            [message for message in reversed(messages) if test(message)], getattr(request, "order_by", "")
        )
        page, token = paged(kept, request)
        getattr(reply, field.name).extend(masked(message, request) for message in page)
        reply.next_page_token = token
        if "total_size" in reply.DESCRIPTOR.fields_by_name:
            reply.total_size = len(kept)
        return reply

    def update(self, call: Call) -> Message:
        """Change the fields of a resource that the mask names, or all that are set where there is no mask."""
        new = getattr(call.request, self._field(call, "Update"))
        if getattr(call.request, "allow_missing", False) and self._store.find(new.name) is None:
            self.stamp(new, "create_time", "update_time")
            return self._store.add(new)
        mask = [path.strip() for path in call.request.update_mask.paths] if _has_mask(call.request) else []

        def change(message: Message) -> None:
            check_etag(message, new)
            merge(message, new, mask)
            self.stamp(message, "update_time")
            if "etag" in message.DESCRIPTOR.fields_by_name:
                message.etag = new_etag()

        return self._store.update(new.name, change)

    def delete(self, call: Call) -> Message:
        """Remove the resource that a Delete call names, with all below it."""
        self._store.delete(call.request.name)
        return self._schema.message("google.protobuf.Empty")()

    def stamp(self, message: Message, *fields: str) -> None:
        """Set times of a message to now, where it has them."""
        for field in fields:
            if field in message.DESCRIPTOR.fields_by_name:
                getattr(message, field).FromNanoseconds(int(self._clock.now() * 1e6) * 1000)

    def collection(self, call: Call) -> str:
        """The collection that the method is about: the last word of its path."""
        for template in self._schema.templates(call.method):
            words = re.findall(r"/([A-Za-z]+)(?:/\*)?\}?$", template)
            if words:
                return str(words[0])
        raise unserved(call)

    def _field(self, call: Call, verb: str) -> str:
        """The field of the request that holds the resource."""
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", call.method.name.removeprefix(verb)).lower()
        if name not in call.request.DESCRIPTOR.fields_by_name:
            raise unserved(call)
        return name

    def _about(self, call: Call, made: Message) -> str:
        """The resource that an operation is about."""
        return str(getattr(made, "name", "") or getattr(call.request, "name", "") or call.request.parent)


def unserved(call: Call) -> ApiError:
    """The error for a method that is not emulated."""
    return ApiError("UNIMPLEMENTED", f"The emulator does not serve {call.method.path[1:]}.")


def new_id() -> str:
    """A number as Google's services give their resources."""
    return str(random.randrange(10**18, 9 * 10**18))


def new_etag() -> str:
    """A mark that changes whenever a resource does."""
    return base64.b64encode(random.randbytes(12)).decode()


def parent_of(name: str) -> str:
    """The resource above another."""
    return split(name)[0]


def check_etag(message: Message, new: Message) -> None:
    """Refuse a change that was made of an older state.

    Raises:
        ApiError: the etags differ.
    """
    said = getattr(new, "etag", "")
    if said and said != getattr(message, "etag", said):
        raise ApiError("ABORTED", "Etag of the resource does not match: it was changed meanwhile.")


def masked(message: Message, request: Message) -> Message:
    """The fields of a message that a request's read mask names; all where it has none.

    Raises:
        ApiError: a path names no field.
    """
    if "read_mask" not in request.DESCRIPTOR.fields_by_name or not request.read_mask.paths:
        return message
    if list(request.read_mask.paths) == ["*"]:
        return message
    made = type(message)()
    for path in request.read_mask.paths:
        _show(made, message, [snake(name) for name in path.split(".")], path)
    return made


def _show(made: Message, message: Message, names: list[str], path: str) -> None:
    """Take over one path; of what has no fields of its own (a struct, a map) the whole."""
    name = names[0]
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise ApiError("INVALID_ARGUMENT", f"Invalid read_mask: there is no field {path!r}.")
    kind = None if field.is_repeated else field.message_type
    if len(names) > 1 and kind is not None and names[1] in kind.fields_by_name:
        _show(getattr(made, name), getattr(message, name), names[1:], path)
    elif field.is_repeated or (kind is not None and message.HasField(name)):
        getattr(made, name).MergeFrom(getattr(message, name))
    elif kind is None:
        setattr(made, name, getattr(message, name))


def _has_mask(request: Message) -> bool:
    return "update_mask" in request.DESCRIPTOR.fields_by_name


def merge(message: Message, new: Message, mask: list[str]) -> None:
    """Take over fields of `new`: those of the mask, or all that are set.

    Raises:
        ApiError: a path names no field.
    """
    if not mask or mask == ["*"]:
        for field, _ in new.ListFields():
            if field.name not in ("name", "etag", "create_time"):
                message.ClearField(field.name)
        kept = (message.name, getattr(message, "etag", ""))
        message.MergeFrom(new)
        message.name = kept[0]
        return
    for path in mask:
        _take(
            message,
            new,
            [snake(part) for part in path.split(".")],
            path,
        )


def _take(message: Message, new: Message, names: list[str], path: str) -> None:
    name = names[0]
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise ApiError("INVALID_ARGUMENT", f"Invalid update_mask: there is no field {path!r}.")
    value = getattr(new, name)
    if len(names) > 1 and field.message_type is not None and not field.is_repeated:
        _take(getattr(message, name), value, names[1:], path)
    elif len(names) > 1 and hasattr(value, "keys"):  # one key of a map
        target, key = getattr(message, name), ".".join(names[1:])
        target.pop(key, None)
        if key in value:
            target[key] = value[key]
    else:
        message.ClearField(name)
        if field.is_repeated or field.message_type is not None:
            taken = type(new)()
            getattr(taken, name).MergeFrom(value)
            if field.is_repeated or new.HasField(name):
                message.MergeFrom(taken)
        else:
            setattr(message, name, value)


def paged(found: list[Message], request: Message) -> tuple[list[Message], str]:
    """One page, and the token of the next.

    Raises:
        ApiError: the token is not one that this call gave.
    """
    asked = f"{getattr(request, 'filter', '')}\n{getattr(request, 'order_by', '')}"
    mark = hashlib.sha256(asked.encode()).hexdigest()[:8]
    start, token, size = 0, getattr(request, "page_token", ""), getattr(request, "page_size", 0)
    if size < 0:
        raise ApiError("INVALID_ARGUMENT", "page_size must not be negative.")
    if token:
        try:
            said, _, of = base64.b64decode(token.encode(), b"-_", validate=True).decode().partition(":")
            start = int(said)
        except ValueError:
            raise ApiError("INVALID_ARGUMENT", f"Invalid page token {token!r}.") from None
        if of != mark:
            raise ApiError("INVALID_ARGUMENT", "The page token was given for another filter or order.")
    end = start + min(size or PAGE, MOST)
    following = base64.urlsafe_b64encode(f"{end}:{mark}".encode()).decode() if end < len(found) else ""
    return found[start:end], following
