"""Pipelines in kfp's own language, one for each thing that it can say; compiled and run by `test_kfp`."""

from typing import List, NamedTuple, Optional

from kfp import dsl

# ruff: noqa: UP006, UP035, UP045 - kfp reads annotations as they were written of old
IMAGE = "python:3.11"


@dsl.component(base_image=IMAGE)
def number(n: int = 1) -> int:
    return n


@dsl.component(base_image=IMAGE)
def text(s: str) -> str:
    return s


@dsl.component(base_image=IMAGE)
def total(xs: list) -> int:  # type: ignore[type-arg]
    return sum(xs)


@dsl.component(base_image=IMAGE)
def fail(why: str = "on purpose") -> int:
    raise ValueError(why)


@dsl.component(base_image=IMAGE)
def make(n: int, data: dsl.Output[dsl.Dataset], scores: dsl.Output[dsl.Metrics]) -> int:
    with open(data.path, "w") as file:
        file.write("\n".join(str(i) for i in range(n)))
    data.metadata["rows"] = n
    scores.log_metric("rows", n)
    return n


@dsl.component(base_image=IMAGE)
def read(data: dsl.Input[dsl.Dataset]) -> str:
    with open(data.path) as file:
        rows = len(file.read().split())
    assert data.uri.startswith("gs://")
    return f"{rows} of {data.metadata['rows']}"


@dsl.component(base_image=IMAGE)
def read_all(parts: dsl.Input[List[dsl.Dataset]]) -> int:  # type: ignore[type-arg]
    rows = 0
    for part in parts:
        with open(part.path) as file:
            rows += len(file.read().split())
    return rows


@dsl.component(base_image=IMAGE)
def types(
    i: int,
    f: float,
    b: bool,
    s: str,
    xs: list,  # type: ignore[type-arg]
    d: dict,  # type: ignore[type-arg]
    o: Optional[str] = None,
) -> str:
    return f"{i!r} {f!r} {b!r} {s!r} {xs!r} {d!r} {o!r}"


@dsl.component(base_image=IMAGE)
def pair(n: int) -> NamedTuple("Pair", [("low", int), ("high", float)]):  # type: ignore[valid-type]
    from collections import namedtuple

    return namedtuple("Pair", ["low", "high"])(n, n + 0.5)


@dsl.component(base_image=IMAGE)
def told(status: dsl.PipelineTaskFinalStatus, log: dsl.OutputPath(str)) -> None:  # type: ignore[valid-type]
    with open(log, "w") as file:
        file.write(f"{status.state} {status.pipeline_task_name} {status.error_code}")


@dsl.component(base_image=IMAGE)
def environment() -> str:
    import os

    return os.environ["GREETING"]


@dsl.container_component
def shell(
    greeting: str,
    data: dsl.Output[dsl.Dataset],
    size: dsl.OutputPath(int),
    name: Optional[str] = None,  # type: ignore[valid-type]
) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(
        image="alpine",
        command=[
            "sh",
            "-c",
            'mkdir -p "$(dirname "$1")" && printf "%s" "$0" > "$1" && printf 42 > "$2"; shift 2; echo "$@"',
        ],
        args=[
            greeting,
            data.path,
            size,
            dsl.IfPresentPlaceholder(
                "name", then=["--name", dsl.ConcatPlaceholder(["<", name, ">"])], else_=["--anonymous"]
            ),
        ],
    )


@dsl.container_component
def show(data: dsl.Input[dsl.Dataset], said: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]
    return dsl.ContainerSpec(image="alpine", command=["sh", "-c", 'cat "$0" > "$1"', data.path, said])


@dsl.pipeline(name="chain")
def chain(n: int = 3) -> str:
    first = make(n=n)
    return read(data=first.outputs["data"]).output


@dsl.pipeline(name="types")
def all_types(i: int, f: float = 1.0, b: bool = True, xs: list = [1, 2.5, "a"], d: dict = {"k": [1]}) -> str:  # type: ignore[type-arg] # noqa: B006
    return types(i=i, f=f, b=b, s="x {{y}}", xs=xs, d=d).output


@dsl.pipeline(name="branches")
def branches(n: int) -> str:
    got = number(n=n)
    with dsl.If(got.output > 10, name="big"):
        big = text(s="big")
    with dsl.Elif(got.output > 5):
        middle = text(s="middle")
    with dsl.Else():
        small = text(s=f"small {got.output}")
    return text(s=dsl.OneOf(big.output, middle.output, small.output)).output


@dsl.pipeline(name="loops")
def loops(n: int = 2) -> int:
    with dsl.ParallelFor([1, 2, 3], parallelism=2) as item:
        one = number(n=item)
        with dsl.If(one.output > 1):
            number(n=one.output)
    return total(xs=dsl.Collected(one.output)).output


@dsl.pipeline(name="loop-over-output")
def loop_over_output() -> int:
    @dsl.component(base_image=IMAGE)
    def items() -> list:  # type: ignore[type-arg]
        return [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]

    with dsl.ParallelFor(items().output) as item:
        one = number(n=item.a)
    return total(xs=dsl.Collected(one.output)).output


@dsl.pipeline(name="artifacts-of-a-loop")
def artifacts_of_a_loop() -> int:
    with dsl.ParallelFor([1, 2, 3]) as item:
        one = make(n=item)
    return read_all(parts=dsl.Collected(one.outputs["data"])).output


@dsl.pipeline(name="exits")
def exits(n: int = 1) -> None:
    with dsl.ExitHandler(told()):
        number(n=n)
        fail()


@dsl.pipeline(name="goes-on")
def goes_on() -> int:
    failed = fail()
    return number(n=5).after(failed).ignore_upstream_failure().output


@dsl.pipeline(name="inner")
def inner(n: int = 2) -> int:
    return number(n=number(n=n).output).output


@dsl.pipeline(name="nested")
def nested(n: int) -> str:
    a = inner(n=n)
    b = inner()
    return types(i=0, f=0.5, b=True, s="", xs=[f"{a.output}", b.output], d={"a": a.output}).output


@dsl.pipeline(name="containers")
def containers(greeting: str) -> str:
    made = shell(greeting=greeting, name="me")
    shell(greeting="x")
    number(n=made.outputs["size"])
    return show(data=made.outputs["data"]).outputs["said"]


@dsl.pipeline(name="imports")
def imports(uri: str) -> str:
    got = dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, metadata={"rows": 2})
    return read(data=got.output).output


@dsl.pipeline(name="settings")
def settings() -> str:
    one = environment().set_env_variable("GREETING", "hello").set_cpu_limit("2").set_memory_limit("4G")
    one.set_accelerator_type("NVIDIA_TESLA_T4").set_accelerator_limit(1).set_display_name("shown")
    return one.output


@dsl.pipeline(name="where")
def where() -> str:
    return text(
        s=f"{dsl.PIPELINE_JOB_NAME_PLACEHOLDER} {dsl.PIPELINE_TASK_NAME_PLACEHOLDER} {dsl.PIPELINE_ROOT_PLACEHOLDER}"
    ).output


@dsl.pipeline(name="several-outputs")
def several_outputs() -> str:
    got = pair(n=3)
    return types(i=got.outputs["low"], f=got.outputs["high"], b=False, s="", xs=[], d={}).output
