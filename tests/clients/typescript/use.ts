// What another service would write on the types that openapi-typescript makes of the contract: upload, submit, follow,
// read, download. Checked and run by `tests/system/test_generated_clients.py`.

import createClient from "openapi-fetch";
import type { components, paths } from "./descent.js";

type Job = components["schemas"]["JobReply"];
type Definition = components["schemas"]["JobDefinition"];
type Problem = components["schemas"]["ProblemReply"];

const [url, key] = process.argv.slice(2);
// What is served in other forms too, such as gradients as CSV, comes as JSON unless `Accept` says otherwise.
type Forms = "application/json" | "application/problem+json";
const client = createClient<paths, Forms>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });

function given<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.data === undefined) throw new Error(`${answer.error?.code}: ${answer.error?.detail}`);
  return answer.data;
}

function holds(condition: boolean, what: string): void {
  if (!condition) throw new Error(`${what} does not hold`);
}

const form = new FormData();
const rows = Array.from({ length: 60 }, (_, n) => `${n},${n % 2 ? "red" : "blue"},${2 * n}\n`);
form.set("file", new Blob(["size,colour,price\n", ...rows]), "houses.csv");
form.set("target", "price");
const uploaded = await client.POST("/v1/datasets", {
  body: { file: "houses.csv", target: "price" },
  bodySerializer: () => form,
});
const dataset = given(uploaded);
holds(dataset.rows === 60 && dataset.target === "price", "the upload");

const definition: Definition = {
  network: { family: "dnn", hidden: [8], activation: "tanh" },
  data: { dataset: dataset.id },
  training: { epochs: 5, optimizer: { kind: "adam", learning_rate: 0.01 } },
};
const header = { "Idempotency-Key": crypto.randomUUID() };
let job: Job = given(await client.POST("/v1/jobs", { params: { header }, body: definition }));
const again: Job = given(await client.POST("/v1/jobs", { params: { header }, body: definition }));
holds(job.id === again.id, "one job for one key");

const path = { job_id: job.id };
while (!job.terminal) job = given(await client.GET("/v1/jobs/{job_id}", { params: { path, query: { wait: 10 } } }));
holds(job.status === "succeeded" && job.error === null, "success");
const loss: number | null | undefined = job.best?.validation_loss;
holds(typeof loss === "number", "a loss");
const network = job.definition.network;
holds(network.family === "dnn" && network.hidden[0] === 8, "the network");

const metrics = given(await client.GET("/v1/jobs/{job_id}/metrics", { params: { path } }));
holds(metrics.epoch.length === 5 && metrics.train_loss?.length === 5, "five epochs");
const query = { statistic: "norm", points: 10 };
const gradients = given(await client.GET("/v1/jobs/{job_id}/gradients", { params: { path, query } }));
const norm: number | null | undefined = gradients.values[0]?.[0];
holds(typeof norm === "number" && gradients.layers[0]?.kind === "weight", "a norm");

for (;;) {
  const { data, error, response } = await client.GET("/v1/jobs/{job_id}/artifacts/{name}", {
    params: { path: { ...path, name: "model.onnx" } },
    parseAs: "arrayBuffer",
  });
  if (data) {
    holds(data.byteLength > 100, "a model");
    break;
  }
  holds(error?.code === "model_pending", error?.detail ?? "an error");
  await new Promise((resolve) => setTimeout(resolve, 1000 * Number(response.headers.get("Retry-After"))));
}

const said = await client.POST("/v1/jobs/{job_id}/predictions", {
  params: { path, query: { allow_unhealthy: true } },
  body: { inputs: [{ size: 3, colour: "red" }] },
});
holds(said.response.headers.has("Descent-Verdict"), "the verdict");

const refused = await client.POST("/v1/jobs", { body: { ...definition, data: { dataset: "no" } } });
holds(refused.error?.errors[0]?.pointer === "/data/dataset", "the place of the error");

// @ts-expect-error: a network of this family does not exist
const wrong: Definition = { network: { family: "mlp" }, data: { dataset: "iris" } };
holds(wrong.network !== undefined, "the types");
console.log(`${job.id} succeeded`);
