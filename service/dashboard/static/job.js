// The page of a job: its charts, and that they move.

import { call, read } from "./api.js";
import { node } from "./elements.js";
import { follow } from "./follow.js";
import { HeatMap } from "./heat.js";
import { LineChart } from "./lines.js";
import { namesOf, offer } from "./metrics.js";
import { explain, pause, refresh } from "./page.js";
import { Range } from "./plot.js";
import { tryModel } from "./predict.js";
import { format } from "./scale.js";

const MOST_STEPS = 480;
const MOST_EPOCHS = 400;
const REDRAW_SECONDS = 1.5;
const PAIRS = {
  loss: ["train_loss", "validation_loss"],
  accuracy: ["train_accuracy", "validation_accuracy"],
  skill: ["skill", "validation_skill"],
};
const COLOURS = {
  gain: { log: true, middle: 1 },
  dead: { log: false, bounds: [0, 1] },
  saturation: { log: false, bounds: [0, 1] },
};
const OF_STEPS = { "loss of each sampled step": "loss", "rho: what a step gained of what its gradient promised": "rho" };
const HAS_GAPS = new Set(["dead", "saturation"]);
const HAS_TENSORS = new Set(["norm", "update_ratio"]);

const page = document.getElementById("job");
const charts = document.getElementById("charts");
const jobId = page.dataset.job;
const base = `/v1/jobs/${jobId}`;
const element = (id) => document.getElementById(id);

const range = new Range();
const loss = new LineChart(element("loss"), { label: "Loss and metrics by step", range });
const heat = new HeatMap(element("heat"), { label: "Gradients by layer and step", range });
const flow = new LineChart(element("flow"), { label: "Gradient that arrives at each layer", zooms: false });
let time = null;

let job = null;
let metrics = null;
let gains = null;
let times = null;
let evidence = null;
let isChosen = false; // what the charts show, by hand

// Loss and metrics

/** Epochs end at steps, so that curves and map have one axis. */
const stepsOfEpoch = () => (job.progress.steps && job.progress.epochs ? job.progress.steps / job.progress.epochs : job.progress.step / Math.max(job.progress.epoch, 1)) || 1;

async function readMetrics() {
  metrics = await read(`${base}/metrics?points=${MOST_EPOCHS}`);
  const choice = element("metric");
  const names = ["loss", ...namesOf(metrics).filter((name) => !Object.values(PAIRS).flat().includes(name))];
  for (const pair of ["accuracy", "skill"]) if (PAIRS[pair].some((name) => name in metrics)) names.splice(1, 0, pair);
  for (const name of [...names, ...Object.keys(OF_STEPS)]) offer(choice, name);
  await drawLoss();
}

async function drawLoss() {
  const chosen = element("metric").value;
  if (chosen in OF_STEPS) await drawSteps(OF_STEPS[chosen], chosen);
  else drawEpochs(chosen);
}

const marksOf = (width) => [
  ...(job.best?.epoch ? [{ x: job.best.epoch * width, text: `best epoch ${job.best.epoch}`, className: "best" }] : []),
  ...(evidence && evidence.step !== null ? [{ x: evidence.step, text: evidence.code }] : []),
];

async function drawSteps(statistic, name) {
  const { steps, values } = await read(`${base}/gradients?statistic=${statistic}&points=${MOST_EPOCHS}&digits=5`);
  const threshold = evidence?.levels[statistic];
  loss.set({
    series: [{ name: name.split(":")[0], className: "series-0", x: steps, y: values.map(([value]) => value) }],
    marks: marksOf(stepsOfEpoch()),
    levels: typeof threshold === "number" ? [{ y: threshold, text: "a finding from here" }] : [],
    log: element("log").checked && statistic !== "rho",
    xSays: undefined,
    message: steps.length ? "" : "No samples yet.",
  });
}

function drawEpochs(chosen) {
  const names = (PAIRS[chosen] ?? [chosen]).filter((name) => name in metrics);
  const width = stepsOfEpoch();
  const x = metrics.epoch.map((epoch) => epoch * width);
  const lost = Object.values(metrics.nonfinite).flat().length;
  const series = names.map((name, index) => ({ name: name.replaceAll("_", " "), className: `series-${index}`, x, y: metrics[name], dots: true }));
  loss.set({
    series,
    marks: marksOf(width),
    levels: [],
    log: element("log").checked,
    xSays: (step) => `epoch ${Math.round(step / width)}, step ${format(step, 9)}`,
    message: metrics.epoch.length ? (series.some(({ y }) => y.some((value) => value !== null)) ? "" : `Not one of these numbers is finite: ${lost} are NaN or infinite.`) : waiting(),
  });
}

function waiting() {
  if (job.terminal) return `The job is ${job.status}, and no epoch was completed.`;
  return job.queue ? `No epoch yet: it waits at place ${job.queue.position} for a ${job.queue.waiting_for}.` : "No epoch yet: the first is under way.";
}

// The map

let reading = 0;

async function readHeat() {
  const statistic = element("statistic").value;
  const mine = ++reading;
  const zoomed = range.shown ? `&from_step=${Math.floor(range.shown[0])}&to_step=${Math.ceil(range.shown[1])}` : "";
  const found = await read(`${base}/gradients?statistic=${statistic}&points=${MOST_STEPS}&digits=4${zoomed}`);
  if (mine !== reading) return; // another was asked for meanwhile
  // Biases say little beside their weights; and some statistics have no meaning for some activations.
  const isMeant = ({ kind, column }) => kind !== "bias" && !(HAS_GAPS.has(statistic) && found.steps.length && found.values.every((row) => row[column] === null));
  const columns = found.layers.map((layer, index) => ({ ...layer, column: index })).filter(isMeant);
  const places = new Map(columns.map(({ column }, row) => [column, row]));
  const empty = found.steps.length ? "" : job.terminal ? "The job kept no samples of this: it ended before the first, or its definition leaves them out." : "No samples yet.";
  const values = found.values.map((row) => columns.map(({ column }) => row[column]));
  heat.set({
    rows: columns.map(({ name }) => name),
    rowName: HAS_TENSORS.has(statistic) ? "" : "layer ",
    steps: found.steps,
    values,
    nonfinite: found.nonfinite.filter(([, column]) => places.has(column)).map(([step, column, kind]) => [step, places.get(column), kind]),
    colours: COLOURS[statistic] ?? { log: true },
    mark: evidence && { step: evidence.step, text: evidence.code, rows: columns.flatMap(({ layer }, row) => (evidence.layers.includes(layer) ? [row] : [])) },
    message: empty || (columns.length ? "" : "This network has no layer for which this has a meaning."),
  });
  return found;
}

let delayed;
range.addEventListener("change", () => {
  element("reset").disabled = !range.shown;
  clearTimeout(delayed);
  delayed = setTimeout(() => readHeat().catch(explain), 250);
});
element("reset").addEventListener("click", () => range.reset());
element("statistic").addEventListener("change", () => {
  isChosen = true;
  readHeat().catch(explain);
});
for (const id of ["metric", "log"]) element(id).addEventListener("change", () => drawLoss().catch(explain));

// The gradient on its way back

async function readFlow() {
  gains = await read(`${base}/gradients?statistic=gain&points=${MOST_STEPS}&digits=4`);
  const slider = element("flow-step");
  const wasLast = Number(slider.value) === Number(slider.max);
  slider.max = Math.max(gains.steps.length - 1, 0);
  if (wasLast) slider.value = slider.max;
  drawFlow();
}

/** What is left at each layer: the product of the gains from the last one to it. */
const arriving = (row) => row.reduceRight((left, gain) => [gain === null || left[0] === null ? null : gain * (left[0] ?? 1), ...left], []);

function drawFlow() {
  const { layers, steps, values } = gains;
  element("flow-card").hidden = !layers.length && job.progress.step > 0;
  const at = Number(element("flow-step").value);
  element("flow-at").textContent = steps.length ? `step ${format(steps[at], 9)}` : "";
  const x = layers.map((_, index) => index);
  const series = [];
  if (steps.length && layers.length) {
    series.push({ name: `step ${steps[0]}`, className: "series-1", x, y: arriving(values[0]), dots: true });
    if (at > 0) series.push({ name: `step ${steps[at]}`, className: "series-0", x, y: arriving(values[at]), dots: true });
    const expected = JSON.parse(charts.dataset.gains);
    const theory = layers.map(({ layer }) => expected[layer] ?? null);
    if (theory.some((gain) => gain !== null)) series.push({ name: "theory, at init", className: "theory", x, y: arriving(theory), dashed: true });
  }
  const threshold = evidence?.levels.gain_of_all_layers;
  flow.set({
    series,
    levels: threshold ? [{ y: threshold, text: "a finding from here" }] : [],
    log: true,
    xName: "layer",
    xSays: (index) => layers[index]?.name ?? "",
    message: series.length ? "" : "No samples yet.",
  });
}
element("flow-step").addEventListener("input", drawFlow);

// Gradients over time

async function readTime() {
  times = await read(`${base}/gradients/time?points=${MOST_STEPS}&digits=4`);
  element("time-card").hidden = !times.layers.length;
  if (!times.layers.length) return;
  time ??= new HeatMap(element("time"), { label: "Gradients by time step and step", range });
  const choice = element("direction");
  if (!choice.options.length) for (const [index, { name }] of times.layers.entries()) choice.add(new Option(name, index));
  drawTime();
}

function drawTime() {
  const at = Number(element("direction").value);
  time.set({
    rows: times.time_steps.map((t) => `t ${t}`),
    rowName: "",
    steps: times.steps,
    values: times.values.map((layers) => layers[at]),
    nonfinite: times.nonfinite.filter(([, layer]) => layer === at).map(([step, , t, kind]) => [step, t, kind]),
    colours: { log: true },
    message: times.steps.length ? "" : "No samples yet.",
  });
}
element("direction").addEventListener("change", drawTime);

// The evidence of a finding, in the charts

function take(finding) {
  const { firstStep, layers, code, statistic, levels } = finding.dataset;
  evidence = { step: firstStep === "" ? null : Number(firstStep), layers: layers ? layers.split(",").map(Number) : [], code, levels: JSON.parse(levels) };
  const choice = element("statistic");
  if ([...choice.options].some(({ value }) => value === statistic)) choice.value = statistic;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-show]");
  if (!link) return;
  isChosen = true;
  take(element(link.dataset.show));
  const curve = Object.keys(OF_STEPS).find((name) => OF_STEPS[name] in evidence.levels);
  if (curve) element("metric").value = curve;
  drawLoss().catch(explain);
  drawFlow();
  readHeat().catch(explain);
});

// Everything that moves

function tick(now) {
  job = now;
  const { progress, queue } = job;
  range.setFull(0, Math.max(progress.step, 1));
  const bar = document.querySelector("#progress progress");
  if (bar) bar.value = job.status === "succeeded" ? 1 : progress.fraction;
  const line = element("ticker");
  if (job.terminal || !line) return;
  const left = progress.eta_seconds === null ? "" : `, about ${seconds(progress.eta_seconds)} left`;
  const steps = progress.steps ? ` of ${progress.steps.toLocaleString("en")}` : "";
  line.textContent = queue
    ? `Waits at place ${queue.position} for a ${queue.waiting_for}${queue.eta_seconds === null ? "" : `, about ${seconds(queue.eta_seconds)}`}.`
    : `Epoch ${progress.epoch.toLocaleString("en")} of ${progress.epochs.toLocaleString("en")}, step ${progress.step.toLocaleString("en")}${steps}${left}.`;
}

const seconds = (value) => (value < 60 ? `${Math.round(value)} s` : value < 3600 ? `${Math.floor(value / 60)} min ${Math.round(value % 60)} s` : `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`);

let isFirst = true;

async function news() {
  // The page itself is as new as the first answer.
  if (!isFirst) await refresh();
  isFirst = false;
  const cause = document.querySelector(".finding");
  if (!isChosen && cause && cause.dataset.code !== evidence?.code) take(cause);
  const [found] = await Promise.all([readHeat(), readMetrics(), readFlow(), readTime()]);
  if (found && !found.layers.length && job.progress.step && !isChosen && element("statistic").value !== "norm") {
    // A perceptron has no hidden layer, but tensors.
    element("statistic").value = "norm";
    await readHeat();
  }
  await pause(REDRAW_SECONDS);
}

/** Files are made after the end. */
async function awaitFiles() {
  while (document.querySelector("[data-pending]")) {
    await pause(1);
    await refresh().catch(explain);
  }
}

document.addEventListener("refreshed", ({ detail }) => {
  // Not a part that is replaced with each refresh: somebody may be typing in it.
  const card = detail.getElementById("predict-card");
  if (!card || element("predict-card")) return;
  element("try").replaceChildren(card);
  tryModel(base);
});

follow(jobId, tick, async (now) => {
  await news();
  if (now.terminal) await awaitFiles();
});

// Events, and numbers as a file

document.addEventListener(
  "toggle",
  async ({ target }) => {
    if (!target.dataset.events || !target.open) return;
    const list = target.querySelector(".events");
    try {
      const { items, next } = await read(`${target.dataset.events}?limit=200`);
      list.replaceChildren(...items.map(told), ...(next ? [node("li", "… and more: GET …/events")] : []));
    } catch (error) {
      explain(error);
    }
  },
  true,
);

const told = ({ at, type, data }) => node("li", `${at.slice(11, 19)} ${type} ${Object.keys(data).length ? JSON.stringify(data).slice(0, 300) : ""}`);

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-csv]");
  if (!link) return;
  event.preventDefault();
  try {
    const reply = await call(link.getAttribute("href"), { headers: { Accept: "text/csv" } });
    const url = URL.createObjectURL(await reply.blob());
    Object.assign(document.createElement("a"), { href: url, download: link.dataset.csv }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } catch (error) {
    explain(error);
  }
});

tryModel(base);
