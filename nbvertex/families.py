"""Libraries that notebooks use, and what holds for everything in each of them."""

from __future__ import annotations

from typing import NamedTuple

from nbvertex.effects import Result, State, reads, updates

NETWORK = updates("network")
FIGURE = updates("display", "figure")


class Family(NamedTuple):
    """What holds for everything in a library that is not said of it one by one.

    Args:
        quiet: its functions leave what they are given as it is.
        type: of what its functions return, where it is one and the same.
        state: what its functions do to the state outside the names.
        result: of its functions.
    """

    quiet: bool = True
    type: str = ""
    state: tuple[State, ...] = ()
    result: Result = "new"


def draws(what: str) -> tuple[State, ...]:
    """To take from a generator of random numbers is to change it."""
    return updates("random", what)


def _each(family: Family, names: str) -> dict[str, Family]:
    return dict.fromkeys(names.split(), family)


FAMILIES: dict[str, Family] = {
    # Python's own
    **_each(
        Family(),
        "math cmath statistics re string textwrap fractions decimal datetime hashlib base64 struct zlib typing json "
        "calendar unicodedata difflib numbers html binascii zoneinfo keyword tokenize ast dis urllib.parse platform "
        "colorsys shlex time traceback hmac enum abc dataclasses locale errno uuid os.path sys gc",
    ),
    **_each(Family(result="holds"), "collections functools operator copy types contextlib weakref array"),
    **_each(Family(type="iterator()", result="holds"), "itertools tqdm"),
    **_each(
        Family(state=updates("files"), result="holds"),
        "os shutil tempfile zipfile tarfile gzip bz2 lzma pickle shelve dbm sqlite3 fileinput configparser csv io tomllib wave",
    ),
    "glob": Family(state=reads("files")),
    "pathlib": Family(),
    "random": Family(state=draws("random")),
    "secrets": Family(state=draws("system")),
    "warnings": Family(),
    "logging": Family(result="perhaps"),
    "importlib": Family(state=updates("modules", "sys"), result="perhaps"),
    "getpass": Family(state=updates("input")),
    "signal": Family(quiet=False, state=updates("signals")),
    "atexit": Family(quiet=False, state=updates("process")),
    "asyncio": Family(quiet=False, result="perhaps"),
    **_each(
        Family(quiet=False, state=updates("threads"), result="perhaps"),
        "threading _thread sched concurrent.futures",
    ),
    **_each(
        Family(quiet=False, state=(*updates("process"), *updates("files")), result="perhaps"),
        "subprocess multiprocessing pexpect sh ray dask",
    ),
    # arrays, frames, estimators
    "numpy": Family(type="numpy.ndarray()"),
    "numpy.random": Family(type="numpy.ndarray()", state=draws("numpy")),
    "scipy": Family(type="numpy.ndarray()"),
    "pandas": Family(type="pandas.DataFrame()"),
    "sklearn": Family(),
    **_each(
        Family(result="perhaps"),
        "xgboost lightgbm catboost statsmodels polars pyarrow category_encoders imblearn shap dateutil pytz",
    ),
    **_each(
        Family(state=updates("files"), result="holds"),
        "joblib h5py dill cloudpickle yaml toml netCDF4 imageio PIL openpyxl xlrd sqlalchemy duckdb pyarrow.parquet pyarrow.csv",
    ),
    "torch": Family(type="torch.Tensor()", result="perhaps"),
    "torch.nn": Family(state=draws("torch"), result="holds"),
    "torch.nn.init": Family(quiet=False, state=draws("torch")),
    "torch.optim": Family(result="holds"),
    "torch.utils": Family(state=draws("torch"), result="holds"),
    "torchvision": Family(state=draws("torch"), result="perhaps"),
    "tensorflow": Family(result="perhaps"),
    "tensorflow.random": Family(state=draws("tensorflow")),
    **_each(Family(state=draws("tensorflow"), result="holds"), "tensorflow.keras tf_keras keras"),
    # pictures and what is shown
    **_each(
        Family(state=FIGURE, result="perhaps"),
        "matplotlib pylab seaborn plotly altair bokeh holoviews plotnine",
    ),
    "IPython": Family(quiet=False, state=updates("ipython")),
    "IPython.display": Family(result="holds"),
    # far away
    **_each(
        Family(quiet=False, state=NETWORK, result="perhaps"),
        "requests urllib http httpx aiohttp ftplib smtplib socket websocket websockets ssl boto3 botocore google vertexai "
        "openai anthropic huggingface_hub gcsfs s3fs kaggle wget bs4 selenium paramiko pymongo redis psycopg2 mysql "
        "pymysql snowflake elasticsearch datasets transformers kfp mlflow wandb yfinance pandas_gbq gspread grpc azure",
    ),
}


def family(path: str) -> Family | None:
    """What is known of the library that a path belongs to: of its nearest part."""
    while path:
        found = FAMILIES.get(path)
        if found is not None:
            return found
        path = path.rpartition(".")[0]
    return None
