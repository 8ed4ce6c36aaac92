// Curves of several jobs over each other, by epoch.

import { read } from "./api.js";
import { LineChart } from "./lines.js";
import { namesOf, offer } from "./metrics.js";
import { explain, pause, visible } from "./page.js";
import { Range } from "./plot.js";

const MOST_EPOCHS = 300;
const root = document.getElementById("curves");
const ids = root.dataset.jobs.split(",");
const names = JSON.parse(root.dataset.names);
const choice = document.getElementById("metric");
const log = document.getElementById("log");
const range = new Range();
const chart = new LineChart(root, { label: "Curves of the jobs", range, height: 320 });
let columns = [];

async function readAll() {
  columns = await Promise.all(ids.map((id) => read(`/v1/jobs/${id}/metrics?points=${MOST_EPOCHS}`)));
  const found = [...new Set(columns.flatMap(namesOf))];
  const order = [...found.filter((name) => name.endsWith("loss")), ...found.filter((name) => !name.endsWith("loss"))];
  for (const name of order) offer(choice, name);
  range.setFull(0, Math.max(1, ...columns.flatMap(({ epoch }) => epoch)));
  draw();
}

function draw() {
  const series = columns.map((one, index) => ({ name: names[index] || ids[index], className: `series-${index}`, x: one.epoch, y: one[choice.value] ?? one.epoch.map(() => null), dots: true }));
  chart.set({ series: series.filter(({ x }) => x.length), log: log.checked, xName: "epoch", message: series.some(({ x }) => x.length) ? "" : "None of them has completed an epoch yet." });
}
choice.addEventListener("change", draw);
log.addEventListener("change", draw);

for (;;) {
  const isMoving = document.querySelector("#all[data-moving]") !== null;
  try {
    await readAll();
  } catch (error) {
    if (!explain(error)) break;
  }
  if (!isMoving) break;
  await pause(2);
  await visible();
}
