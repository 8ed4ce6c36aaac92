// The editor of a definition: the service checks it as it is typed, and says what to expect of it.

import { Refused, freshKey, read } from "./api.js";
import { facts, node } from "./elements.js";
import { explain, recovered } from "./page.js";
import { placeOf } from "./pointers.js";
import { format } from "./scale.js";

const AFTER_MS = 300;
const MOST_PROBLEMS = 12;
const editor = document.getElementById("editor");
const said = document.getElementById("said");
const estimate = document.getElementById("estimate");
const submit = document.getElementById("submit");

// Checking

let asking = null;
let timer;

function check() {
  clearTimeout(timer);
  timer = setTimeout(ask, AFTER_MS);
}

async function ask() {
  asking?.abort();
  asking = new AbortController();
  try {
    const found = await read("/v1/estimates", { method: "POST", body: editor.value, signal: asking.signal });
    editor.classList.remove("invalid");
    editor.removeAttribute("aria-invalid");
    recovered();
    said.replaceChildren(node("p", "It can be trained."), ...found.warnings.map(({ detail }) => node("p", detail, "warned")));
    showEstimate(found);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Refused) || error.status === 401) return explain(error);
    showProblems(error);
  }
}

function showProblems(error) {
  editor.classList.add("invalid");
  editor.setAttribute("aria-invalid", "true");
  const problems = error.errors.length ? error.errors : [{ pointer: "", detail: error.message, hint: "" }];
  said.replaceChildren(
    ...problems.slice(0, MOST_PROBLEMS).map(({ pointer, detail, hint }) => {
      const box = node("div", "", "problem");
      if (pointer) {
        const button = node("button", pointer, "quiet");
        button.type = "button";
        button.addEventListener("click", () => select(pointer));
        box.append(button, " ");
      }
      box.append(node("span", `${detail} ${hint ?? ""}`));
      return box;
    }),
  );
  if (problems.length > MOST_PROBLEMS) said.append(node("p", `and ${problems.length - MOST_PROBLEMS} more.`));
  estimate.replaceChildren();
}

function select(pointer) {
  const place = placeOf(editor.value, pointer);
  if (!place) return;
  editor.focus();
  editor.setSelectionRange(...place);
  const line = editor.value.slice(0, place[0]).split("\n").length;
  editor.scrollTop = Math.max(0, (line - 5) * parseFloat(getComputedStyle(editor).lineHeight));
}

// What to expect

const bytes = (value) => {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1000) return `${format(value)} ${unit}`;
    value /= 1000;
  }
  return `${format(value)} TB`;
};

function showEstimate({ layers, total, depth_budget: budget }) {
  const told = {
    Parameters: total.parameters.toLocaleString("en"),
    "FLOPs of a row": format(total.flops),
    Memory: bytes(total.parameter_bytes + total.gradient_bytes + total.optimizer_bytes + total.activation_bytes),
    "Layers to lose a gradient": budget === null ? "it does not shrink" : format(budget),
  };
  const table = node("table");
  const head = table.createTHead().insertRow();
  for (const name of ["Layer", "Kind", "Output", "Parameters", "Gain"]) head.append(Object.assign(node("th", name), { scope: "col" }));
  const body = table.createTBody();
  for (const layer of layers) {
    const row = body.insertRow();
    row.append(Object.assign(node("th", layer.name), { scope: "row" }));
    for (const text of [layer.kind, layer.output_shape.join(" × "), layer.parameters.toLocaleString("en"), format(layer.gain ?? layer.time_gain)]) row.append(node("td", text));
  }
  const box = node("div", "", "scroll");
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Layers");
  box.append(table);
  estimate.replaceChildren(facts(Object.entries(told)), box);
}

// The form

editor.addEventListener("input", check);
document.getElementById("start").addEventListener("change", ({ target }) => {
  if (target.value) editor.value = target.value;
  check();
});
document.getElementById("tidy").addEventListener("click", () => {
  try {
    editor.value = JSON.stringify(JSON.parse(editor.value), null, 2);
  } catch {
    check(); // which says where it is no JSON
  }
});
// Tab goes on to the next field, as everywhere; two spaces are two spaces.
let key = null;
document.getElementById("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  submit.disabled = true;
  // The same until something is changed: pressed again after an answer that was lost, it makes no second job.
  key ??= freshKey();
  try {
    const made = await read("/v1/jobs", { method: "POST", body: editor.value, headers: { "Idempotency-Key": key } });
    location.assign(`/jobs/${made.id}`);
  } catch (error) {
    submit.disabled = false;
    if (error instanceof Refused && error.errors.length) showProblems(error);
    else explain(error);
  }
});
editor.addEventListener("input", () => {
  key = null;
});
ask();
