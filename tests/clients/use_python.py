"""What another service would write on the client that openapi-python-client makes of the contract: upload, submit,
follow, read, download. Run by `tests/system/test_generated_clients.py`, with that client on the path."""

import sys
from http import HTTPStatus
from io import BytesIO
from uuid import uuid4

from descent_client import AuthenticatedClient
from descent_client.api.artifacts import get_artifact
from descent_client.api.datasets import list_datasets, upload_dataset
from descent_client.api.jobs import get_job, submit_job
from descent_client.api.predictions import predict
from descent_client.api.series import get_gradients, get_metrics
from descent_client.models import (
    Data,
    DatasetReply,
    Dnn,
    GradientsReply,
    JobDefinition,
    JobReply,
    ListDatasetsBuiltinType0,
    MetricsReply,
    PredictionBody,
    PredictionsReply,
    ProblemReply,
    Training,
    UploadForm,
    UploadFormHeader,
)
from descent_client.types import File

ROWS = "size,colour,price\n" + "".join(f"{n},{('red', 'blue')[n % 2]},{2 * n + n % 2}\n" for n in range(60))


def main() -> None:
    url, key = sys.argv[1:]
    with AuthenticatedClient(url, key) as client:
        dataset = upload(client)
        job = follow(client, submit(client, dataset))
        read(client, job)
        download(client, job)
        be_refused(client)


def upload(client: AuthenticatedClient) -> DatasetReply:
    file = File(BytesIO(ROWS.encode()), file_name="houses.csv", mime_type="text/csv")
    form = UploadForm(file=file, target="price", header=UploadFormHeader.TRUE, kinds='{"colour": "category"}')
    dataset = upload_dataset.sync(client=client, body=form)
    assert isinstance(dataset, DatasetReply), dataset
    assert (dataset.rows, dataset.target) == (60, "price")
    again = upload_dataset.sync_detailed(client=client, body=File(BytesIO(ROWS.encode())), target="size", length=None)
    assert again.status_code in (HTTPStatus.OK, HTTPStatus.CREATED), again.content
    listed = list_datasets.sync(client=client, builtin=ListDatasetsBuiltinType0.FALSE)
    assert dataset.id in [item.id for item in listed.items]
    return dataset


def submit(client: AuthenticatedClient, dataset: DatasetReply) -> JobReply:
    definition = JobDefinition(
        network=Dnn(family="dnn", hidden=[8]), data=Data(dataset=dataset.id), training=Training(epochs=5)
    )
    mark = str(uuid4())
    made = submit_job.sync(client=client, body=definition, idempotency_key=mark)
    again = submit_job.sync(client=client, body=definition, idempotency_key=mark)
    assert isinstance(made, JobReply), made
    assert made.id == again.id
    return made


def follow(client: AuthenticatedClient, job: JobReply) -> JobReply:
    while not job.terminal:
        job = get_job.sync(job.id, client=client, wait=10.0)
    assert job.status == "succeeded", job.error
    assert job.best.validation_loss > 0
    assert job.definition.network.hidden == [8]
    return job


def read(client: AuthenticatedClient, job: JobReply) -> None:
    metrics = get_metrics.sync(job.id, client=client)
    assert isinstance(metrics, MetricsReply), metrics
    assert metrics.epoch == [1, 2, 3, 4, 5]
    assert len(metrics.train_loss) == 5
    gradients = get_gradients.sync(job.id, client=client, statistic="norm")
    assert isinstance(gradients, GradientsReply), gradients
    assert len(gradients.values) == len(gradients.steps)
    assert {column.kind for column in gradients.layers} == {"weight", "bias"}


def download(client: AuthenticatedClient, job: JobReply) -> None:
    while (reply := get_artifact.sync_detailed(job.id, "model.onnx", client=client)).status_code == HTTPStatus.CONFLICT:
        assert reply.parsed.code == "model_pending"
    assert len(reply.parsed.payload.read()) > 100
    rows = PredictionBody(inputs=[{"size": 3, "colour": "red"}])
    said = predict.sync(job.id, client=client, body=rows, allow_unhealthy=True)
    assert isinstance(said, PredictionsReply), said
    assert len(said.outputs) == 1


def be_refused(client: AuthenticatedClient) -> None:
    wrong = JobDefinition(network=Dnn(family="dnn", hidden=[8]), data=Data(dataset="no"))
    refused = submit_job.sync(client=client, body=wrong)
    assert isinstance(refused, ProblemReply), refused
    assert [item.pointer for item in refused.errors] == ["/data/dataset"]
    assert isinstance(get_job.sync(f"job_{'0' * 26}", client=client), ProblemReply)


if __name__ == "__main__":
    main()
