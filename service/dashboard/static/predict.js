// A row by hand, and what the model says of it.

import { Refused, read } from "./api.js";
import { facts, node } from "./elements.js";
import { explain } from "./page.js";
import { format } from "./scale.js";

export function tryModel(base) {
  const form = document.getElementById("predict");
  if (!form) return;
  const place = document.getElementById("predicted");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let inputs;
    try {
      inputs = [row(form)];
    } catch {
      return say(place, "The row is not JSON.", "wrong");
    }
    const allow = form.dataset.unhealthy === "true" ? "?allow_unhealthy=true" : "";
    try {
      const { outputs } = await read(`${base}/predictions${allow}`, { method: "POST", body: JSON.stringify({ inputs }) });
      show(place, outputs[0]);
    } catch (error) {
      if (!(error instanceof Refused) || error.status === 401) return explain(error);
      const details = error.errors.map(({ pointer, detail }) => `${pointer.replace("/inputs/0/", "")}: ${detail}`);
      say(place, [error.message, ...details.filter((text) => !text.endsWith(error.message))].join(" "), "wrong");
    }
  });
}

function row(form) {
  const area = form.querySelector("textarea");
  if (area) return JSON.parse(area.value);
  const fields = [...form.querySelectorAll("input")].map(({ name, value, inputMode }) => [name, inputMode === "decimal" && value.trim() !== "" && Number.isFinite(Number(value)) ? Number(value) : value]);
  return "asList" in form.dataset ? fields.map(([, value]) => value) : Object.fromEntries(fields);
}

function say(place, text, className) {
  place.replaceChildren(node("p", text, className));
}

function show(place, output) {
  if (Array.isArray(output)) return say(place, JSON.stringify(output));
  if (!("class" in output)) return say(place, `It says ${Array.isArray(output.value) ? output.value.map((value) => format(value, 6)).join(", ") : format(output.value, 6)}.`);
  say(place, `It says ${output.class}.`);
  const likeliest = Object.entries(output.probabilities ?? {}).sort(([, a], [, b]) => b - a).slice(0, 20);
  place.append(facts(likeliest.map(([name, share]) => [name, `${(100 * share).toPrecision(3)} %`])));
}
