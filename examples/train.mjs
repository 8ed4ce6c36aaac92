// `node examples/train.mjs http://127.0.0.1:8700 KEY [job.json]`: submit, follow, download. Node 18 or newer, no packages.
// The job is followed by its stream of events. The model is left in model.onnx.

import { createHash, randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";

const [url, key, file = new URL("digits_dnn.json", import.meta.url)] = process.argv.slice(2);
const TRIES = 5;
const ENDS = ["job.succeeded", "job.failed", "job.cancelled"];

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const api = (path, options = {}) =>
  fetch(url + path, { ...options, headers: { Authorization: `Bearer ${key}`, ...options.headers } });

// What is wrong, by place.
async function complaint(reply) {
  const problem = await reply.json();
  const places = problem.errors.map((item) => `\n  ${item.pointer}: ${item.detail} ${item.hint}`);
  return new Error(`${problem.status} ${problem.code}: ${problem.detail}${places.join("")}`);
}

// The id of the job. Lost answers are asked for again: with its Idempotency-Key a job is made once.
async function submit(definition) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": randomUUID() };
  for (let attempt = 0; attempt < TRIES; attempt++) {
    let reply;
    try {
      reply = await api("/v1/jobs", { method: "POST", body: definition, headers });
    } catch {
      await sleep(2 ** attempt);
      continue;
    }
    if (reply.ok) return (await reply.json()).id;
    if (![429, 503].includes(reply.status)) throw await complaint(reply);
    await sleep(Number(reply.headers.get("Retry-After")));
  }
  throw new Error("The service does not answer.");
}

// Each event of the job, until it has ended. A stream ends after a minute: it goes on behind the last event known.
async function* events(id) {
  let known = "0";
  for (;;) {
    const headers = { Accept: "text/event-stream", "Last-Event-ID": known };
    const reply = await api(`/v1/jobs/${id}/events`, { headers });
    if (reply.status === 204) return;
    if (!reply.ok) throw await complaint(reply);
    let text = "";
    for await (const chunk of reply.body.pipeThrough(new TextDecoderStream())) {
      const parts = (text + chunk).split("\n\n");
      text = parts.pop();
      for (const part of parts) {
        const data = part.split("\n").find((line) => line.startsWith("data: "));
        if (!data) continue; // a comment, which keeps the line open
        const event = JSON.parse(data.slice(6));
        known = String(event.id);
        yield event;
      }
    }
  }
}

// Checked against its checksum. Files are made just after a job's end: until then the answer is 409.
async function download(path, target) {
  for (;;) {
    const reply = await api(path);
    if (reply.ok) {
      const content = Buffer.from(await reply.arrayBuffer());
      const digest = createHash("sha256").update(content).digest("base64");
      if (reply.headers.get("Repr-Digest") !== `sha-256=:${digest}:`) throw new Error(`${target} came in damaged.`);
      await writeFile(target, content);
      return content.length;
    }
    const error = await complaint(reply);
    if (!error.message.startsWith("409 model_pending")) throw error;
    await sleep(Number(reply.headers.get("Retry-After")));
  }
}

const id = await submit(await readFile(file, "utf8"));
console.log(`${id} is submitted`);
for await (const event of events(id)) {
  if (event.type === "job.epoch") console.log(`epoch ${event.data.epoch}`);
  if (ENDS.includes(event.type)) console.log(event.type);
}
const job = await (await api(`/v1/jobs/${id}`)).json();
if (job.status !== "succeeded") throw new Error(`${job.status}: ${JSON.stringify(job.error)}`);
console.log(`${job.verdict}, best epoch ${JSON.stringify(job.best)}`);
console.log(`model.onnx has ${await download(`/v1/jobs/${id}/artifacts/model.onnx`, "model.onnx")} bytes`);
