// Calls of the API by the session of this page. A refusal is thrown as Refused, with what the problem says.

export class Refused extends Error {
  constructor(status, said) {
    super(said.detail || said.title || `The service answered ${status}.`);
    this.status = status;
    this.code = said.code || "";
    this.errors = said.errors || [];
  }
}

/** Nobody answered: the service is restarting, or the network is away. */
export class Away extends Error {}

export const token = document.querySelector('meta[name="csrf"]')?.content ?? "";

/** So that a call that is sent again does nothing twice. (`randomUUID` is there over HTTPS and on the machine itself only.) */
export const freshKey = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;

export async function call(path, { method = "GET", body, headers = {}, signal } = {}) {
  const sent = { Accept: "application/json", ...headers };
  if (method !== "GET") sent["X-CSRF-Token"] = token;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let reply;
  try {
    reply = await fetch(path, { method, body, headers: sent, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Away("The service does not answer.");
  }
  if (reply.ok || reply.status === 304) return reply;
  const said = await reply.json().catch(() => ({}));
  if (reply.status === 502 || reply.status === 503 || reply.status === 504) throw new Away(said.detail || "The service does not answer.");
  throw new Refused(reply.status, said);
}

export const read = async (path, options) => (await call(path, options)).json();
