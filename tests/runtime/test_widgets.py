"""Widgets without a front end: an output widget takes what is meant for it, and the notebook keeps their state."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from nbvertex import worker

pytest.importorskip("comm")
PATIENCE = 60.0

# what ipywidgets does when an output widget is made and used as a context
WIDGET = """
import sys
from comm import create_comm
class Out:
    def __init__(self):
        state = {"_model_module": "@jupyter-widgets/output", "_model_name": "OutputModel", "outputs": [], "msg_id": ""}
        self.outputs = []
        self.comm = create_comm(target_name="jupyter.widget", data={"state": state, "buffer_paths": []})
        self.comm.on_msg(lambda m: setattr(self, "outputs", m["content"]["data"]["state"]["outputs"]))
    def send(self, **state): self.comm.send({"method": "update", "state": state, "buffer_paths": []})
    def __enter__(self): self.send(msg_id=get_ipython().kernel.get_parent()["header"]["msg_id"])
    def __exit__(self, *error):
        if error[0]: get_ipython().showtraceback(error)
        self.send(msg_id="")
        return True
out = Out()
"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Any:
    pool = worker.Pool(sys.executable)
    yield pool
    pool.close()


def run(pool: worker.Pool, folder: Path, *sources: str) -> tuple[dict[int, list[Any]], worker.Result]:
    """The outputs of each cell, shortened, and the result."""
    cells = tuple(worker.CellJob(place, place, source) for place, source in enumerate((WIDGET, *sources)))
    inputs = {"step": "s", "names": {}, "artifacts": []}
    pool.start(
        worker.Job(
            str(folder),
            cells[1:] if not sources else cells,
            inputs,
            live=(),
            cwd=str(folder),
            scratch=str(folder),
        )
    )
    shown: dict[int, list[Any]] = {}
    while True:
        for event in pool.poll(PATIENCE):
            if isinstance(event, worker.CellEnded):
                shown[event.position] = [
                    o.get("text") or o.get("ename") or o["data"]["text/plain"] for o in event.outputs
                ]
            if isinstance(event, worker.Ended):
                return shown, event.result


SHORT = "[o.get('text') or o.get('ename') or o['data']['text/plain'] for o in out.outputs]"
CASES: list[tuple[str, str, list[str], str]] = [
    ("text", "with out: print('in'); print('side')\nprint('out')", ["out\n"], "['in\\nside\\n']"),
    ("both streams", "with out: print('in'); print('err', file=sys.stderr)", [], "['in\\n', 'err\\n']"),
    ("a display", "with out: display(1)\ndisplay(2)", ["2"], "['1']"),
    ("an error", "with out: 1 / 0\nprint('on')", ["on\n"], "['ZeroDivisionError']"),
    ("a shell line", "with out: get_ipython().system('echo in')", [], "['in\\r\\n']"),
    ("nested", "two = Out()\nwith out:\n    print('a')\n    with two: print('b')\n    print('c')", [], "['a\\nc\\n']"),
    ("cleared", "from IPython.display import clear_output\nwith out: print('a'); clear_output(); print('b')", [], "['b\\n']"),
    ("cleared when more comes", ("from IPython.display import clear_output\n"
     "with out: print('a'); clear_output(wait=True); print('b')"), [], "['b\\n']"),
    ("twice", "with out: print('a')\nprint('x')\nwith out: print('b')", ["x\n"], "['a\\nb\\n']"),
    ("left open", "out.__enter__(); print('a')", [], "['a\\n']"),
]  # fmt: skip


@pytest.mark.parametrize("source, beside, taken", [pytest.param(*rest, id=name) for name, *rest in CASES])
def test_an_output_widget_takes_what_is_meant_for_it(
    pool: worker.Pool, tmp_path: Path, source: str, beside: list[str], taken: str
) -> None:
    """The cell shows the rest; the widget knows what it has by the next cell, as with a front end."""
    shown, result = run(pool, tmp_path, source, SHORT)
    assert isinstance(result, worker.Done), result
    assert shown[1] == beside
    assert shown[2] == [taken]


def test_the_state_of_widgets_is_for_the_notebook(pool: worker.Pool, tmp_path: Path) -> None:
    """With what was sent since, and binary data as base64."""
    _, result = run(
        pool, tmp_path, "c = create_comm(target_name='jupyter.widget', data={'state': {'_model_name': 'M', 'x': 1}})\n"
        "c.send({'method': 'update', 'state': {'x': 2}, 'buffer_paths': [['b']]}, buffers=[b'abc'])\n"
        "create_comm(target_name='other', data={'any': 'thing'}).close(); c.comm_id = 'mine'; out.comm.comm_id",
    )  # fmt: skip
    assert isinstance(result, worker.Done)
    (state,) = [w for w in result.widgets.values() if w["model_name"] == "M"]
    assert state["state"] == {"_model_name": "M", "x": 2}
    assert state["buffers"] == [{"data": "YWJj", "encoding": "base64", "path": ["b"]}]
