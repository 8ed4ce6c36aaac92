// What every page does: the switch of colours, parts that keep themselves up to date, buttons that call the API.

import { Away, Refused, call, freshKey } from "./api.js";

const SECONDS = 2;
const LONGEST_SECONDS = 15;
const NAMES = { "": "System", light: "Light", dark: "Dark" };

// Colours

const theme = document.getElementById("theme");
const showTheme = () => {
  document.getElementById("theme-name").textContent = NAMES[document.documentElement.dataset.theme ?? ""];
};
theme.hidden = false;
theme.addEventListener("click", () => {
  const order = ["", "light", "dark"];
  const next = order[(order.indexOf(document.documentElement.dataset.theme ?? "") + 1) % order.length];
  if (next) document.documentElement.dataset.theme = next;
  else delete document.documentElement.dataset.theme;
  localStorage.setItem("theme", next);
  showTheme();
  document.dispatchEvent(new Event("recolour"));
});
showTheme();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("recolour")));

// What is the case, in one line above the page

const notice = document.getElementById("notice");

export function tell(text, link) {
  if (notice.dataset.text === text) return;
  notice.dataset.text = text;
  notice.textContent = text;
  if (link) {
    const a = document.createElement("a");
    [a.href, a.textContent] = link;
    notice.append(" ", a);
  }
}

let isAway = false;

/** Somebody answers again. What else was told stays. */
export function recovered() {
  if (isAway) tell("");
  isAway = false;
}

/** What went wrong, in words. True if it makes sense to go on trying. */
export function explain(error) {
  isAway = error instanceof Away || error.status === 429;
  if (error instanceof Away) {
    tell("The service does not answer; trying again …");
    return true;
  }
  if (error instanceof Refused && error.status === 401) {
    tell("This session has ended: it was signed out, or the key has expired or was taken back.", [`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`, "Sign in again"]);
    return false;
  }
  if (error instanceof Refused && error.status === 404) {
    tell("This was deleted, or belongs to another key. What is shown is what was known last.", ["/", "All jobs"]);
    return false;
  }
  tell(error.message);
  return isAway;
}

// Parts with `data-live` are taken from the page as the server makes it now

const shown = new Map([...document.querySelectorAll("[data-live]")].map((part) => [part.id, part.innerHTML]));

export async function refresh() {
  // As a page would be asked for, so that what is refused is said in JSON.
  const reply = await call(location.pathname + location.search, { headers: { Accept: "text/html;q=0.1, application/problem+json" } });
  const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
  for (const part of fresh.querySelectorAll("[data-live]")) {
    const old = document.getElementById(part.id);
    if (!old) continue;
    old.toggleAttribute("data-moving", part.hasAttribute("data-moving"));
    if (shown.get(part.id) === part.innerHTML) continue;
    shown.set(part.id, part.innerHTML);
    replace(old, part);
  }
  document.dispatchEvent(new CustomEvent("refreshed", { detail: fresh }));
  recovered();
}

/** What was opened, chosen or focused stays so. */
function replace(old, part) {
  const open = new Set([...old.querySelectorAll("details[open][id]")].map((details) => details.id));
  const checked = new Set([...old.querySelectorAll("input:checked")].map((input) => input.value));
  const focused = old.contains(document.activeElement) ? pathOf(document.activeElement, old) : null;
  const lists = [...old.querySelectorAll("details[id] .events")].map((list) => [list.parentElement.id, list]);
  const places = [...old.querySelectorAll(".scroll, .chain")].map((box) => [box.scrollLeft, box.scrollTop]);
  old.className = part.className;
  old.replaceChildren(...part.childNodes);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  for (const input of old.querySelectorAll("input[type=checkbox]")) if (checked.has(input.value)) input.checked = true;
  for (const [id, list] of lists) document.getElementById(id)?.querySelector(".events")?.replaceWith(list);
  old.querySelectorAll(".scroll, .chain").forEach((box, index) => {
    if (places[index]) [box.scrollLeft, box.scrollTop] = places[index];
  });
  if (focused) focused.reduce((node, index) => node?.children[index], old)?.focus({ preventScroll: true });
}

function pathOf(node, root) {
  const path = [];
  for (; node !== root; node = node.parentElement) path.unshift([...node.parentElement.children].indexOf(node));
  return path;
}

export const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

export const visible = () =>
  document.hidden ? new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true })) : Promise.resolve();

async function keepMoving() {
  let wait = SECONDS;
  for (;;) {
    await pause(wait);
    await visible();
    if (!document.querySelector("[data-moving]")) continue;
    try {
      await refresh();
      wait = SECONDS;
    } catch (error) {
      if (!explain(error)) return;
      wait = Math.min(wait * 1.5, LONGEST_SECONDS);
    }
  }
}
keepMoving();

// Buttons: data-call="POST /v1/…", data-body, data-ask, data-then

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-call]");
  if (!button) return;
  if (button.dataset.ask && !confirm(button.dataset.ask)) return;
  button.disabled = true;
  const [method, path] = button.dataset.call.split(" ");
  try {
    const reply = await call(path, { method, body: button.dataset.body, headers: method === "POST" ? { "Idempotency-Key": freshKey() } : {} });
    const made = reply.status === 204 ? null : await reply.json();
    const { then } = button.dataset;
    if (then === "job") location.assign(`/jobs/${made.id}`);
    else if (then === "beside") location.assign(`/compare?jobs=${path.split("/")[3]},${made.id}`);
    else if (then) location.assign(then);
    else await refresh();
  } catch (error) {
    button.disabled = false;
    explain(error);
  }
});
