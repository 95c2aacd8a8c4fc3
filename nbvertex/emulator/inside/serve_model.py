"""Runs in a mapped environment: what Google's own prediction containers for scikit-learn and XGBoost do."""

from __future__ import annotations

import http.server
import json
import os
import sys
from importlib import import_module
from typing import Any

Predict = Any  # a function of a list of instances


def loaded(folder: str) -> Predict:
    """The model in a folder: `model.joblib`, `model.pkl` or `model.bst`.

    Raises:
        FileNotFoundError: there is none.
    """
    for name in ("model.joblib", "model.pkl", "model.bst"):
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            continue
        if name.endswith(".bst"):
            return _booster(path)
        with open(path, "rb") as file:
            model = import_module("joblib" if name.endswith(".joblib") else "pickle").load(file)
        return lambda instances: model.predict(instances).tolist()
    raise FileNotFoundError(f"there is no model.joblib, model.pkl or model.bst in {folder}")


def _booster(path: str) -> Predict:
    xgboost: Any = import_module("xgboost")
    with open(path, "rb") as file:
        booster = xgboost.Booster(model_file=bytearray(file.read()))
    return lambda instances: booster.predict(xgboost.DMatrix(instances)).tolist()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for its health, and predicts."""

    predict: Predict

    def log_message(self, *said: object) -> None:
        """Nothing is said of each request."""

    def do_GET(self) -> None:
        """Health: it is, since the model is loaded."""
        self._answer(200 if self.path == os.environ["AIP_HEALTH_ROUTE"] else 404, {})

    def do_POST(self) -> None:
        """Predictions."""
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            made = type(self).predict(said["instances"])
        except Exception as error:  # whatever the model does not like is the caller's to know
            self._answer(400, {"error": f"{type(error).__name__}: {error}"})
            return
        self._answer(200, {"predictions": made})

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        data = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file is no business of the model's
    Handler.predict = staticmethod(loaded(os.environ["AIP_STORAGE_URI"].replace("gs://", "/gcs/", 1)))
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()
