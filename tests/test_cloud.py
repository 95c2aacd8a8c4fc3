"""Which cells may create something in the cloud."""

from __future__ import annotations

import json

import making
import pytest
from making import cell

from nbvertex import cloud, convert, notebook

IMPORTS = "from google.cloud import aiplatform, bigquery, storage\nmodel = object()"

CREATES = {
    "a job": "aiplatform.CustomJob(display_name='x').run()",
    "an upload": "storage.Client().bucket('b').blob('n').upload_from_string('x')",
    "a dataset": "bigquery.Client().create_dataset('d')",
    "a function of the notebook": "def go():\n    aiplatform.Model.upload(display_name='x')\ngo()",
    "gcloud": "!gcloud ai custom-jobs create --region r",
    "gcloud in bash": "%%bash\ngcloud run deploy x",
    "a bucket": "!gsutil mb gs://b",
    "a BigQuery cell": "%%bigquery\nselect 1",
    "kubectl": "! kubectl apply -f x.yaml",
}
DOES_NOT = {
    "init": "aiplatform.init(project='p')",
    "reading": "frame = bigquery.Client().query('select 1').to_dataframe()",
    "listing": "!gcloud projects list",
    "a model's fit": "model.fit([1])",
    "a definition": "def go():\n    aiplatform.Model.upload(display_name='x')",
    "plain code": "print(1)",
    "no code": "x = = 1",
}


def cells_of(*sources: str) -> list[int]:
    document = making.document([cell(source) for source in sources])
    pipeline, problems = convert.check(notebook.parse("nb.ipynb", json.dumps(document)))
    assert pipeline is not None, problems
    return cloud.creating(pipeline)


@pytest.mark.parametrize("case", CREATES)
def test_what_may_cost_money_is_found(case: str) -> None:
    """Verify runs a notebook twice, and asks before it does so."""
    assert cells_of(IMPORTS, CREATES[case]) == [2]


@pytest.mark.parametrize("case", DOES_NOT)
def test_other_cells_are_not_asked_about(case: str) -> None:
    """Reading is free, or nearly so."""
    assert cells_of(IMPORTS, DOES_NOT[case]) == []


def test_without_a_client_nothing_is_created() -> None:
    """Methods called `create` are everywhere."""
    assert cells_of("import urllib.request as r", "r.urlopen('http://x').create()") == []
