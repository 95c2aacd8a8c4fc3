"""Objects of libraries whose own way of pickling is missing or loses something: taken apart here so that nothing is lost."""

from __future__ import annotations

import contextlib
import gc
import itertools
import re
import types
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from . import arrays, carried, definitions, inline, instances, singletons, tensors

Reduced = tuple[Any, ...]


class Pickler(Protocol):
    """What is asked of the pickler."""

    kept: list[Any]


Handler = Callable[[Pickler, Any], Any]


def handler(kind: type) -> Handler | None:
    """How an object of this type is taken apart, or None: pickle knows."""
    for base in kind.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        if name in _HANDLERS:
            return _HANDLERS[name]
        if name in _REFUSED:
            return _refuse(*_REFUSED[name])
    return None


def _refuse(what: str, hint: str) -> Handler:
    def refuse(pickler: Pickler, obj: Any) -> Any:
        raise carried.CannotTravel(what, hint)

    return refuse


def _whole(pickler: Pickler, obj: Any) -> Any:
    """By all its parts; what the library pickles is a copy without its connections to other objects."""
    return instances.parts(obj)


# ---------------------------------------------------------------------------------------- the standard library


def _struct(pickler: Pickler, layout: Any) -> Any:
    """A layout of bytes."""
    return type(layout), (layout.format,)


def _system_random(pickler: Pickler, generator: Any) -> Any:
    """Random numbers of the system, which keeps no state."""
    return type(generator), ()


def _proxy(pickler: Pickler, proxy: Any) -> Any:
    """A weak stand-in of an object that travels too."""
    try:
        return weakref.proxy, (proxy.__str__.__self__,)
    except ReferenceError:
        raise carried.CannotTravel("a weak proxy of an object that is gone", "delete it") from None


# ------------------------------------------------------------------------------------------------- matplotlib


def _figure(pickler: Pickler, figure: Any) -> Any:
    """A figure, and whether it would show as a picture."""
    from IPython import get_ipython

    _, args, state, *rest = figure.__reduce_ex__(2)
    shell = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    return make_figure, (shell is not None and inline.is_on(shell), *args), state, *rest


def make_figure(shows: bool, kind: Any) -> Any:
    """A figure, still empty."""
    from IPython import get_ipython

    shell = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    if shows and shell is not None:
        inline.expect(shell)
    return kind.__new__(kind)


def _callbacks(pickler: Pickler, registry: Any) -> Any:
    """Who hears of a change; pickled on its own a registry forgets most of them."""
    picklable, following = registry._pickled_cids, int(re.findall(r"\d+", repr(registry._cid_gen))[0])
    registry._pickled_cids = {cid for callbacks in registry.callbacks.values() for cid in callbacks}
    try:
        state = registry.__getstate__()
    finally:
        registry._pickled_cids, registry._cid_gen = picklable, itertools.count(following)
    state["_cid_gen"], state["_pickled_cids"] = following, sorted(picklable)
    return bare, (type(registry),), state, None, None, set_callbacks


def bare(cls: Any) -> Any:
    """An object without its contents yet."""
    return cls.__new__(cls)


def set_callbacks(registry: Any, state: dict[str, Any]) -> None:
    """Let everybody hear again."""
    registry.__setstate__({**state, "_pickled_cids": set(state["_pickled_cids"])})


# ----------------------------------------------------------------------------------------------------- pandas


def _manager(pickler: Pickler, manager: Any) -> Any:
    """What holds a series: by its block, which knows with whom it shares memory."""
    return bare, (type(manager),), (manager.axes, manager.blocks), None, None, set_manager


def set_manager(manager: Any, state: tuple[list[Any], tuple[Any, ...]]) -> None:
    """Give a rebuilt manager its axes and blocks."""
    manager.axes, manager.blocks = state
    manager._post_setstate()


# ------------------------------------------------------------------------------------------------------ NumPy


def _ufunc(pickler: Pickler, function: Any) -> Any:
    """A function of arrays that ``numpy.frompyfunc`` has made of one in Python; others have a name."""
    made_of = [held for held in gc.get_referents(function) if callable(held)]
    if not made_of:
        return NotImplemented
    identity = {} if function.identity is None else {"identity": function.identity}
    return ufunc_of, (made_of[0], function.nin, function.nout, identity)


def ufunc_of(function: Any, inputs: int, outputs: int, identity: dict[str, Any]) -> Any:
    """The function of arrays made again."""
    import numpy

    return numpy.frompyfunc(function, inputs, outputs, **identity)


# ------------------------------------------------------------------------------------------- PyTorch and Numba


def _language(pickler: Pickler, language: Any) -> Any:
    """A pipeline of spaCy."""
    how, args, state, *_ = instances.parts(language)
    return how, args, state, None, None, set_language


def set_language(language: Any, state: tuple[Any, ...]) -> None:
    """Give a rebuilt pipeline its contents; the first that is made in a process makes all its parts known."""
    instances.fill(language, state)
    with contextlib.suppress(ImportError):  # before 3.8.3 the import did it
        from spacy.pipeline.factories import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
            register_factories,
        )

        register_factories()


def _optimizer(pickler: Pickler, optimizer: Any) -> Any:
    """With what schedulers and hooks have put on it."""
    how, args, state, *_ = instances.parts(optimizer)
    return how, args, state, None, None, set_optimizer


def set_optimizer(optimizer: Any, state: tuple[Any, ...]) -> None:
    """Give a rebuilt optimizer its contents; its class must know that it counts its steps."""
    instances.fill(optimizer, state)
    optimizer._patch_step_function()


def _compiled(pickler: Pickler, dispatcher: Any) -> Any:
    """A function that Numba compiles: it does so again, for known types with the globals that it met then."""
    if definitions.is_importable(dispatcher) and "." not in dispatcher.__qualname__:
        return singletons.get, (dispatcher.__module__, dispatcher.__qualname__)
    function, records = dispatcher.py_func, list(vars(dispatcher).get(_MET, ()))
    known = {given for _, signatures in records for given in signatures}
    new = [given for given in dispatcher.signatures if given not in known]
    if new:
        names = sorted(definitions.free_names(function))
        live = definitions.namespace
        records.append(({name: live[name] for name in names if name in live}, new))
    options, places = dict(dispatcher.targetoptions), dict(dispatcher.locals)
    return compile_again, (type(dispatcher), function, places, options), records, None, None, set_met


_MET = "_met_by_nbvertex"


def compile_again(kind: Callable[..., Any], function: Any, places: Any, options: Any) -> Any:
    """The function with nothing compiled yet."""
    return kind(function, locals=places, targetoptions=options)


def set_met(dispatcher: Any, records: list[tuple[dict[str, Any], list[Any]]]) -> None:
    """Let it be compiled for the types that it knew with the globals that it met then: Numba takes them as constants."""
    if not records:
        return
    setattr(dispatcher, _MET, records)
    usual = dispatcher._compile_for_args

    def compile_for(*args: Any, **keys: Any) -> Any:
        given = tuple(map(dispatcher.typeof_pyval, args))
        for met, signatures in records:
            if given in signatures and not keys:
                twin = compile_again(
                    type(dispatcher),
                    _then(dispatcher.py_func, met),
                    dispatcher.locals,
                    dict(dispatcher.targetoptions),
                )
                twin.compile(given)
                dispatcher.add_overload(twin.overloads[given])
                return dispatcher.overloads[given].entry_point
        return usual(*args, **keys)

    dispatcher._compile_for_args = compile_for


def _then(function: types.FunctionType, met: dict[str, Any]) -> types.FunctionType:
    """The function over the globals that it met."""
    live = {**definitions.namespace, **met}
    return types.FunctionType(
        function.__code__, live, function.__name__, function.__defaults__, function.__closure__
    )


def _table(pickler: Pickler, table: Any) -> Any:
    """A table of astropy, whose columns know it."""
    how, args, state, *_ = instances.parts(table)
    return how, args, state, None, None, set_table


def set_table(table: Any, state: tuple[Any, ...]) -> None:
    """Give a rebuilt table its columns."""
    instances.fill(table, state)
    for column in table.columns.values():
        column.info.parent_table = table


_TRACED = ("train_function", "test_function", "predict_function")


def _keras(pickler: Pickler, saveable: Any) -> Any:
    """A model, layer or optimizer of Keras, sharing with others what it shares; it traces its functions anew."""
    how, args, (attributes, *rest), *_ = instances.parts(saveable)
    attributes = {name: None if name in _TRACED else value for name, value in attributes.items()}
    return how, args, (attributes, *rest), None, None, set_keras


def set_keras(saveable: Any, state: tuple[Any, ...]) -> None:
    """Give a rebuilt model, layer or optimizer its contents."""
    instances.fill(saveable, state)
    _unsettled.append(saveable)


_unsettled: list[Any] = []


def settle() -> None:
    """Call when everything that was loaded has its contents: what is kept by the address of objects has others now."""
    for saveable in _unsettled:
        known = vars(saveable)
        if "_trainable_variables_indices" in known:
            found = enumerate(saveable._trainable_variables)
            saveable._trainable_variables_indices.clear()
            saveable._trainable_variables_indices.update({saveable._var_key(v): i for i, v in found})
        tracker = known.get("_tracker")
        if tracker is not None:
            for name, (_, store) in tracker.config.items():
                tracker.stored_ids[name] = set(map(id, store))
    _unsettled.clear()


def _strategy(pickler: Pickler, strategy: Any) -> Any:
    """How TensorFlow spreads work over devices: by default not at all."""
    if strategy is not default_strategy():
        raise carried.CannotTravel("a way to spread work over devices", "make it in the step that uses it")
    return default_strategy, ()


def default_strategy() -> Any:
    """The one that holds where no other was chosen."""
    from tensorflow.python.distribute import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
        distribute_lib,
    )

    return distribute_lib._get_default_strategy()


# ---------------------------------------------------------------------------------------------------- pictures


def _drawing(pickler: Pickler, drawing: Any) -> Any:
    """A pen on a picture that travels too."""
    image = getattr(drawing, "_image", None)
    if image is None or drawing.im is not image.im:
        raise carried.CannotTravel("a pen on a picture", "make it in the step that draws")
    rest = {k: v for k, v in vars(drawing).items() if k not in ("im", "draw", "palette", "_image")}
    return draw_on, (image, drawing.mode), rest, None, None, arrays.set_attributes


def draw_on(image: Any, mode: str) -> Any:
    """The pen again."""
    from PIL import ImageDraw

    return ImageDraw.Draw(image, mode)


def _picture(pickler: Pickler, image: Any) -> Any:
    """A picture from a file; of several frames only one would travel."""
    if getattr(image, "n_frames", 1) > 1:
        hint = "keep its frames in a list (ImageSequence.all_frames), or open it in the step that needs it"
        raise carried.CannotTravel("an open picture of several frames", hint)
    image.load()
    made = image.__reduce_ex__(5)
    known = {"im", "_im", "fp", "_fp", "_exclusive_fp", "png", "map", "tile", "readonly", "info", "palette"}
    rest = {k: v for k, v in vars(image).items() if k not in known and _is_data(v)}
    return bare, (type(image),), (made[2], rest), None, None, set_picture


def _is_data(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_data(v) for v in value.values())
    if isinstance(value, list | tuple):
        return all(map(_is_data, value))
    return type(value) in (str, bytes, int, float, bool, type(None))


def set_picture(image: Any, state: tuple[Any, dict[str, Any]]) -> None:
    """Give a rebuilt picture its points and what else was known of it."""
    image.__setstate__(state[0])
    image.__dict__.update(state[1])


# ------------------------------------------------------------------------------------------------------ others


def _span(pickler: Pickler, span: Any) -> Any:
    """A part of a document that travels too."""
    args = (span.doc, span.start, span.end, span.label, None, None, span.kb_id, span.id)
    return type(span), args


def _token(pickler: Pickler, token: Any) -> Any:
    """A word of a document that travels too."""
    return token_of, (token.doc, token.i)


def token_of(doc: Any, place: int) -> Any:
    """The word at that place."""
    return doc[place]


_REFUSED: dict[str, tuple[str, str]] = {
    "ipywidgets.widgets.widget.Widget": (
        "a live widget",
        "make it in the step that uses it, and keep its value (.value) for other steps",
    ),
}

_HANDLERS: dict[str, Handler] = {
    "_struct.Struct": _struct,
    "random.SystemRandom": _system_random,
    "weakref.CallableProxyType": _proxy,
    "weakref.ProxyType": _proxy,
    "keras.src.saving.keras_saveable.KerasSaveable": _keras,
    "matplotlib.cbook.CallbackRegistry": _callbacks,
    "matplotlib.figure.Figure": _figure,
    "pandas.core.internals.managers.SingleBlockManager": _manager,
    "plotly.basedatatypes.BaseFigure": _whole,
    "plotly.basedatatypes.BasePlotlyType": _whole,
    "astropy.table.table.Table": _table,
    "astropy.utils.data_info.DataInfo": _whole,
    "bs4.element.PageElement": _whole,
    "numpy.ufunc": _ufunc,
    "PIL.ImageDraw.ImageDraw": _drawing,
    "PIL.ImageFile.ImageFile": _picture,
    "spacy.language.Language": _language,
    "spacy.tokens.span.Span": _span,
    "spacy.tokens.token.Token": _token,
    "numba.core.dispatcher.Dispatcher": _compiled,
    "torch.optim.optimizer.Optimizer": _optimizer,
    "tensorflow.python.distribute.distribute_lib.StrategyBase": _strategy,
    "torch.Tensor": tensors.reduce,
    "torch.storage.UntypedStorage": tensors.reduce_storage,
    "torch._C.Generator": tensors.reduce_generator,
}
