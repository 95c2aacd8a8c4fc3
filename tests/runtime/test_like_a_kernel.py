"""Under every cell stands what a notebook kernel puts there: the same cells are run by one, and compared."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from nbvertex import displays, worker

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

PATIENCE = 120.0

# name, source; all are cells of one notebook, and every one may fail
CELLS: list[tuple[str, str]] = [
    ("print", "print('a'); print('b', 3)"),
    ("result", "1 + 1"),
    ("no result", "5;"),
    ("several results", "1\n2\n3"),
    ("displays", "from IPython.display import *\ndisplay(HTML('<b>x</b>'), Markdown('*x*'), Latex('$x$'), JSON({'a': [1, None]}))"),
    ("javascript", "Javascript('1')"),
    ("svg", "SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')"),
    ("image", "Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + b'0' * 10, format='png')"),
    ("metadata", "display(HTML('x'), metadata={'a': 1})"),
    ("raw", "display({'text/plain': 'raw', 'text/x': 'y'}, raw=True)"),
    ("two displays and a result", "display(1, 2); 3"),
    ("an error", "def f(x):\n    return 1 / x\nf(0)"),
    ("a chain of errors", "try:\n    f(0)\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e"),
    ("a syntax error", "x = = 3"),
    ("an indentation error", "  x = 1\n y = 2"),
    ("an open bracket", "print('a'"),
    ("a name error", "undefined_thing"),
    ("an assertion", "assert 1 == 2, 'no'"),
    ("an unknown magic", "%nosuchmagic"),
    ("autosave", "%autosave 60"),
    ("no autosave", "%autosave 0"),
    ("autosave at odd times", "%autosave often"),
    ("clear", "%clear"),
    ("pagers", "import json\n%less {json.__file__}\n%more {json.__file__}\n%man ls\n%edit {json.__file__}"),
    ("a pager without a file", "%less"),
    ("an unknown cell magic", "%%nosuch\nx"),
    ("a group of errors", "raise ExceptionGroup('g', [ValueError(1), TypeError('x')])"),
    ("a note", "e = ValueError('v'); e.add_note('note'); raise e"),
    ("an error of its own", "class Mine(Exception):\n    def __str__(self): return 'S' * 10\nraise Mine()"),
    ("an error in a library", "import json; json.loads('{')"),
    ("an error in eval", "eval('1+')"),
    ("an error on import", "import nosuchmodule_x"),
    ("an error in repr", "class R:\n    def __repr__(self): raise ValueError('in repr')\nR()"),
    ("an error in a displayed repr", "display(R()); print('goes on')"),
    ("an error in html", "class H:\n    def _repr_html_(self): raise ValueError('in html')\n    def __repr__(self): return 'H!'\nH()"),
    ("an error in a task", "async def g():\n    raise ValueError('async')\nawait g()"),
    ("an error in a finaliser", "class D:\n    def __del__(self): raise ValueError('del')\nd = D(); del d"),
    ("an error in a thread", "import threading\nt = threading.Thread(target=f, args=(0,)); t.start(); t.join()"),
    ("a deep recursion", "def r(n): return r(n + 1)\ntry: r(0)\nexcept RecursionError as e: print(type(e))"),
    ("a printed traceback", "import traceback\ntry: f(0)\nexcept Exception: traceback.print_exc()"),
    ("showtraceback", "try:\n    1 / 0\nexcept Exception: get_ipython().showtraceback()"),
    ("%tb", "%tb"),
    ("sys.exit", "import sys; sys.exit(3)"),
    ("sys.exit without a code", "sys.exit()"),
    ("an interrupt", "raise KeyboardInterrupt"),
    ("a warning", "import warnings; warnings.warn('careful')"),
    ("a deprecation", "warnings.warn('old', DeprecationWarning)"),
    ("await", "import asyncio\nawait asyncio.sleep(0.01)\n'slept'"),
    ("a running loop", "asyncio.get_event_loop().is_running()"),
    ("a big number", "10 ** 5000"),
    ("capture", "%%capture cap\nprint('hidden')\n1"),
    ("what was captured", "cap.stdout"),
    ("a shell line", "!echo one; echo two"),
    ("a shell line as a value", "x = !echo one; echo two\nx"),
    ("a shell line with values", "who = 'w'\n!echo $who {who}"),
    ("a failing shell line", "!false\n_exit_code"),
    ("a killed shell line", "!kill -9 $$\n_exit_code"),
    ("a shell cell", "%%bash\necho hi"),
    ("a failing shell cell", "%%bash\necho hi\nexit 3"),
    ("a script", "%%script python\nprint('from script')"),
    ("a child process", "import os, subprocess\nsubprocess.run(['echo', 'sub'], capture_output=True).stdout"),
    ("an alias", "%alias hello echo hello %s\n%hello you"),
    ("%pwd", "%pwd\nNone"),
    ("%env", "%env NOPE_X=1"),
    ("%xmode", "%xmode Plain\nf(0)"),
    ("%xmode back", "%xmode Context"),
    ("%precision", "%precision 3\n3.14159265"),
    ("%run of nothing", "%run /nonexistent.py"),
    ("autoreload", "%load_ext autoreload\n%autoreload 2"),
    ("%store", "%store"),
    ("a pager", "len?"),
    ("%who", "%who_ls function"),
    ("clear_output", "print('gone'); clear_output(); print('kept')"),
    ("clear_output that waits", "print('gone'); clear_output(wait=True); print('kept')"),
    ("clear_output at the end", "print('kept'); clear_output(wait=True)"),
    ("a display with an id", "h = display('one', display_id='d1'); h.update('two')"),
    ("its update", "h.update('three')"),
    ("another with that id", "h2 = display('x', display_id='d1')"),
    ("_", "1 + 1"), ("_ again", "_ + 1"), ("Out", "sorted(Out)[:3], In[2], _i2"),
    ("the count", "get_ipython().execution_count"),
    ("pprint", "{'a' * 30: list(range(40)), 'b' * 30: 2}"),
    ("unicode", "print('héllo ☃'); '☃'"),
    ("colours and returns", "print('\\x1b[31mred\\x1b[0m'); print('0\\r1\\r2', end='\\r')"),
    ("logging", "import logging; logging.warning('logged')"),
    ("basicConfig", "logging.basicConfig(level=logging.INFO); logging.getLogger('x').info('xx')"),
    ("help", "help(abs)"),
    ("main", "__name__, '__file__' in globals(), sys.modules['__main__'].__dict__ is globals()"),
    ("streams", "sys.stdout.isatty(), sys.stdout.encoding, hasattr(sys.stdout, 'buffer'), sys.stdout.name"),
    ("arguments", "os.path.basename(sys.argv[0]), len(sys.argv), sys.argv[1], sys.argv[3]"),
    ("argparse", "import argparse; argparse.ArgumentParser().parse_args()"),
    ("the path", "'' in sys.path, sys.path[0] == ''"),
    ("the shell", "type(get_ipython()).__name__, type(get_ipython()).__module__, 'IPKernelApp' in get_ipython().config"),
    ("the kernel", "type(get_ipython().kernel).__name__, 'ipykernel.zmqshell' in sys.modules"),
    ("the variables", "{k: os.environ.get(k) for k in ('TERM', 'CLICOLOR', 'FORCE_COLOR', 'PAGER', 'MPLBACKEND')}"),
    ("the package", "import ipykernel, ipykernel.zmqshell as z\nipykernel.__version__.count('.'), z.ZMQInteractiveShell.__name__"),
    ("input hooks", "import signal; signal.getsignal(signal.SIGINT)"),
    ("a context variable", "import contextvars\ncv = contextvars.ContextVar('cv'); _ = cv.set(5)"),
    ("it stays", "cv.get()"),
    ("decimal", "import decimal; decimal.getcontext().prec = 5"),
    ("it stays too", "decimal.Decimal(1) / 3"),
    ("the source of a function", "import inspect; print(inspect.getsource(f))"),
    ("a forked child", "import multiprocessing as mp\np = mp.get_context('fork').Process(target=print, args=('child',)); p.start(); p.join()"),
    ("the names", "[n for n in dir() if n.startswith('_') and not n.startswith('_i') and not n[1:].isdigit()]"),
    ("a cell within", "get_ipython().run_cell('print(1)').result"),
    ("a figure", "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"),
    ("show in the midst", "plt.plot([1]); print('before'); plt.show(); print('after')"),
    ("a figure as a result", "fig, ax = plt.subplots(); plt.close(); fig"),
    ("a data frame", "import pandas as pd\npd.DataFrame({'a': range(100), 'b': 'x' * 30})"),
    ("a printed data frame", "print(pd.DataFrame({f'c{i}': range(3) for i in range(40)}))"),
    ("a progress bar", "from tqdm import tqdm\nfor i in tqdm(range(3), disable=False, bar_format='{desc}{n}', file=sys.stdout): pass"),
    ("a silent breakpoint", "breakpoint()\nx = 1"),
    ("the end", "print('end')"),
]  # fmt: skip


def normal(outputs: Any) -> list[Any]:
    """The outputs with texts of one stream joined, and without addresses, process numbers and folders."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output["output_type"] == "stream" == last.get("output_type") and output["name"] == last["name"]:
            last["text"] += output["text"]
        else:
            joined.append(dict(output))
    text = json.dumps(joined, sort_keys=True)
    text = re.sub(r"ipykernel_\d+", "ipykernel_N", text)
    text = re.sub(r"0x[0-9a-f]{6,}|object at [0-9a-f]{6,}", "ADDRESS", text)
    text = re.sub(r"Thread-\d+", "Thread-N", text)  # kernels differ in how many they have
    text = re.sub(r"-f \S+?\.json", "-f CONNECTION", text)
    return list(json.loads(text))


@pytest.fixture(scope="module")
def kernels() -> list[list[Any]]:
    """What a kernel shows."""
    cells = [nbformat.v4.new_code_cell(source) for _, source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(notebook, allow_errors=True, kernel_name="python3", timeout=PATIENCE)
    client.execute()
    return [normal(cell.outputs) for cell in notebook.cells]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """What one step of ours shows."""
    folder = str(tmp_path_factory.mktemp("ours"))
    pool = worker.Pool(sys.executable, preload=("pandas", "matplotlib.pyplot"))
    cells = tuple(worker.CellJob(place, place, source, True) for place, (_, source) in enumerate(CELLS, 1))
    inputs = {"step": "s", "names": {}, "artifacts": []}
    pool.start(worker.Job("job", cells, inputs, live=(), cwd=str(Path.cwd()), scratch=folder))
    found: list[list[Any]] = [[] for _ in CELLS]
    over = False
    while not over:
        for event in pool.poll(PATIENCE):
            if isinstance(event, worker.CellEnded | worker.Revised):
                found[event.position - 1] = normal(displays.plain(event.outputs))
            over = over or isinstance(event, worker.Ended)
    pool.close()
    return found


@pytest.mark.filterwarnings("ignore")  # the kernel's client has warnings of its own
@pytest.mark.parametrize("place", [pytest.param(place, id=name) for place, (name, _) in enumerate(CELLS)])
def test_a_cell_shows_what_a_kernel_shows(
    kernels: list[list[Any]], ours: list[list[Any]], place: int
) -> None:
    """Output for output, text for text."""
    assert ours[place] == kernels[place]
