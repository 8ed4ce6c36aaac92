// An upload with its progress: fetch does not tell how far a body has come, XMLHttpRequest does.

import { Refused, token } from "./api.js";
import { explain } from "./page.js";

const form = document.getElementById("upload");
const bar = document.getElementById("sent");
const told = document.getElementById("told");

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const body = new FormData();
  // Options first, the file last: a service that reads a stream knows them when the bytes come.
  for (const name of ["name", "target"]) if (form.elements[name].value) body.append(name, form.elements[name].value);
  body.append("file", form.elements.file.files[0]);
  const request = new XMLHttpRequest();
  request.open("POST", "/v1/datasets");
  request.setRequestHeader("X-CSRF-Token", token);
  request.setRequestHeader("Accept", "application/json");
  const button = form.querySelector("button");
  button.disabled = true;
  bar.hidden = false;
  request.upload.onprogress = ({ loaded, total }) => {
    bar.value = loaded / total;
    told.textContent = loaded < total ? `${Math.round((100 * loaded) / total)} % sent` : "Sent; it is being read …";
  };
  request.onerror = () => end("The connection was lost; nothing was kept. Try again.", true);
  request.onload = () => {
    let said = {};
    try {
      said = JSON.parse(request.responseText);
    } catch {
      // Not from the service itself: the status has to do.
    }
    if (request.status < 300) return location.assign(`/datasets/${said.id}`);
    if (request.status === 401) explain(new Refused(401, said));
    const details = (said.errors ?? []).map(({ detail, hint }) => `${detail} ${hint}`);
    end(details.length ? details.join(" ") : said.detail || `The service answered ${request.status}.`, true);
  };
  const end = (text, wrong) => {
    button.disabled = false;
    bar.hidden = true;
    told.textContent = text;
    told.className = wrong ? "wrong" : "";
  };
  request.send(body);
});
