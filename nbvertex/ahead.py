"""The processes of a run, started while its notebook is still being read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nbvertex.errors import NbvertexError
from nbvertex.worker import Pool


class Ahead:
    """Makes the pool that `runner.run` asks for; its warm process has begun by then.

    Args:
        python: the interpreter that the steps will probably have.
        cwd: the folder that they will probably run in.
    """

    def __init__(self, python: str, cwd: Path) -> None:
        self._expected: dict[str, Any] = {
            "python": python,
            "env": {"PYTHONHASHSEED": "0", **os.environ},
            "cwd": str(cwd.absolute()),
        }
        self._pool: Pool | None = None
        with contextlib.suppress(NbvertexError):  # said by the run, if it comes to one
            self._pool = Pool(**self._expected, preload=None)

    def __call__(self, python: str, *, preload: tuple[str, ...], env: Mapping[str, str], cwd: str) -> Pool:
        """The pool; see `worker.Pool`."""
        pool, self._pool = self._pool, None
        if pool is not None and self._expected == {"python": python, "env": dict(env), "cwd": cwd}:
            pool.expect(preload)
            return pool
        if pool is not None:
            pool.close()
        return Pool(python, preload=preload, env=env, cwd=cwd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process where nobody has asked for it."""
        if self._pool is not None:
            self._pool.close()
