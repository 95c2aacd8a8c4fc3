"""What libraries count and are told once for all: ids go on, options and seeds hold in the steps that follow."""

from __future__ import annotations

import sys
from typing import Any

from .probes import Probe, words

# --------------------------------------------------------------------------------------------------- numbers


def _counts(module: str, *paths: str, start: int = 0) -> Probe:
    """Numbers that a library counts on in a module, for the ids or names of what it makes."""

    def get() -> list[Any]:
        return [_at(sys.modules[module], path) for path in paths]

    def put(values: list[Any]) -> None:
        for path, value in zip(paths, values, strict=True):
            *outer, last = path.split(".")
            owner = sys.modules[module]
            for name in outer:
                owner = getattr(owner, name, None)  # type: ignore[assignment]
            if owner is not None and value is not None:
                setattr(owner, last, value)

    return Probe(f"@counts.{module}", module, get, put, lambda values, text: set(values) <= {start, None})


def _at(owner: Any, path: str) -> Any:
    for name in path.split("."):
        owner = getattr(owner, name, None)
    return owner if isinstance(owner, int) else None


_SKLEARN_IDS = ("_CONTAINER_ID_COUNTER.count", "_ESTIMATOR_ID_COUNTER.count")

# --------------------------------------------------------------------------------------------------- options


def _sklearn_get() -> dict[str, Any]:
    return dict(sys.modules["sklearn"].get_config())


def _sklearn_put(options: dict[str, Any]) -> None:
    sys.modules["sklearn"].set_config(**options)


def _torch_print_get() -> dict[str, Any]:
    return dict(vars(sys.modules["torch._tensor_str"].PRINT_OPTS))


def _torch_print_put(options: dict[str, Any]) -> None:
    vars(sys.modules["torch._tensor_str"].PRINT_OPTS).update(options)


def _jax_get() -> dict[str, Any]:
    simple = (str, int, float, bool, type(None))
    values = sys.modules["jax"].config.values
    return {name: value for name, value in values.items() if type(value) in simple}


def _jax_put(options: dict[str, Any]) -> None:
    config = sys.modules["jax"].config
    for name, value in options.items():
        if config.values.get(name) != value:
            config.update(name, value)


def _xarray_get() -> dict[str, Any]:
    return dict(sys.modules["xarray.core.options"].OPTIONS)


def _xarray_put(options: dict[str, Any]) -> None:
    sys.modules["xarray.core.options"].OPTIONS.update(options)


# ------------------------------------------------------------------------------------- Keras and TensorFlow

_KERAS = "keras.src.backend.common.global_state"
_SEEDS = "global_seed_generator"


def _keras_get() -> dict[str, Any]:
    """Counters of layer names and settings as they are; the generator of seeds by its state."""
    state = dict(vars(sys.modules[_KERAS].GLOBAL_STATE_TRACKER))
    found = {name: _copied(state[name]) for name in sorted(state) if _is_plain(state[name])}
    seeds = state.get(_SEEDS)
    if seeds is not None:
        found[_SEEDS] = [int(n) for n in sys.modules["numpy"].asarray(seeds.state)]
    policy = state.get("dtype_policy")
    if policy is not None:
        found["dtype_policy"] = policy.name
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return type(value) in (str, int, float, bool)


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value


def _keras_put(state: dict[str, Any]) -> None:
    import collections

    tracker = sys.modules[_KERAS].GLOBAL_STATE_TRACKER
    for name, value in state.items():
        if name == _SEEDS:
            from keras.src.random import seed_generator  # type: ignore[import-not-found, import-untyped, unused-ignore]

            generator = seed_generator.SeedGenerator(0, name=_SEEDS)
            generator.state.assign(value)
            setattr(tracker, _SEEDS, generator)
        elif name == "dtype_policy":
            sys.modules["keras"].config.set_dtype_policy(value)
        else:
            counts = isinstance(value, dict) and name == "object_name_uids"
            setattr(tracker, name, collections.defaultdict(int, value) if counts else _copied(value))


_TENSORFLOW = "tensorflow.python.eager.context"


def _tensorflow_get() -> Any:
    context = sys.modules[_TENSORFLOW].context()
    rng = getattr(context, "_rng", None)
    return context._seed, rng.getstate() if context._seed is not None and rng is not None else None


def _tensorflow_put(value: Any) -> None:
    seed, state = value
    context = sys.modules[_TENSORFLOW].context()
    context._set_global_seed(seed)
    if state is not None:
        context._rng.setstate(state)


TALLIES: tuple[Probe, ...] = (
    _counts("sklearn.utils._repr_html.estimator", *_SKLEARN_IDS),
    _counts("sklearn.utils._estimator_html_repr", *_SKLEARN_IDS),
    _counts("bokeh.util.serialization", "_simple_id", start=999),
    _counts("sympy.core.symbol", "Dummy._count", "Dummy._base_dummy_index"),
    Probe("@sklearn.options", "sklearn", _sklearn_get, _sklearn_put, words("set_config")),
    Probe("@torch.print", "torch._tensor_str", _torch_print_get, _torch_print_put, words("set_printoptions")),
    Probe("@jax.options", "jax", _jax_get, _jax_put, words("config")),
    Probe("@xarray.options", "xarray.core.options", _xarray_get, _xarray_put, words("set_options")),
    Probe(f"@{_SEEDS}", _KERAS, _keras_get, _keras_put, lambda value, text: not value),
    Probe("@tensorflow", _TENSORFLOW, _tensorflow_get, _tensorflow_put, lambda value, text: value[0] is None),
)
