// The list of jobs: choose some, cancel or compare them.

import { call } from "./api.js";
import { explain, refresh } from "./page.js";

const MOST_COMPARED = 6;
const table = document.getElementById("table");
const cancel = document.getElementById("cancel");
const compare = document.getElementById("compare");
const chosen = () => [...table.querySelectorAll("input[name=job]:checked")];

function count() {
  const boxes = chosen();
  document.getElementById("count").textContent = boxes.length ? `${boxes.length} chosen` : "None chosen";
  if (cancel) cancel.disabled = !boxes.some((box) => !("ended" in box.dataset));
  compare.disabled = boxes.length < 2 || boxes.length > MOST_COMPARED;
}
table.addEventListener("change", count);
document.addEventListener("refreshed", count);
count();

compare.addEventListener("click", () => location.assign(`/compare?jobs=${chosen().map(({ value }) => value).join(",")}`));

cancel?.addEventListener("click", async () => {
  const boxes = chosen().filter((box) => !("ended" in box.dataset));
  if (!confirm(`Cancel ${boxes.length} ${boxes.length === 1 ? "job" : "jobs"}?`)) return;
  cancel.disabled = true;
  try {
    for (const box of boxes) {
      // One that has ended meanwhile is left as it is.
      await call(`/v1/jobs/${box.value}/cancel`, { method: "POST" }).catch((error) => {
        if (error.status !== 409) throw error;
      });
      box.checked = false;
    }
    await refresh();
  } catch (error) {
    explain(error);
  }
  count();
});
