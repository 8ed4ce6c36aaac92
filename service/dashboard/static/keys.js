// A new key; its secret is shown this once.

import { read } from "./api.js";
import { node } from "./elements.js";
import { explain, refresh } from "./page.js";

const DAY = 86_400_000;
const form = document.getElementById("make");
const place = document.getElementById("secret");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = new FormData(form);
  const body = { name: given.get("name"), scopes: given.getAll("scopes") };
  if (given.get("days")) body.expires_at = new Date(Date.now() + given.get("days") * DAY).toISOString();
  try {
    const made = await read("/v1/keys", { method: "POST", body: JSON.stringify(body) });
    const box = node("div", "This is shown once; nobody can read it again: ", "secret");
    box.append(node("code", made.secret));
    place.replaceChildren(box);
    form.reset();
    await refresh();
  } catch (error) {
    explain(error);
  }
});
