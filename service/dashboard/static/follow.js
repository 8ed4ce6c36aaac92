// A job as it moves: long-polls, each of a second, so that its steps are seen too; through restarts of the service.

import { call } from "./api.js";
import { explain, pause, recovered, visible } from "./page.js";

const WAIT_SECONDS = 1;
const ENDED_SECONDS = 10;
const LONGEST_SECONDS = 10;

/** `onTick(job)` at each answer; `await onNews(job)` when its version is another one. Returns when there is none any more. */
export async function follow(jobId, onTick, onNews) {
  let version = null;
  let away = 0;
  for (;;) {
    await visible();
    try {
      const reply = await call(`/v1/jobs/${jobId}?wait=${version ? WAIT_SECONDS : 0}`);
      const job = await reply.json();
      const now = reply.headers.get("ETag");
      onTick(job);
      if (now !== version || away) await onNews(job);
      recovered();
      version = now;
      away = 0;
      await pause(job.terminal ? ENDED_SECONDS : 0.3);
    } catch (error) {
      if (!explain(error)) return;
      away = Math.min((away || 0.5) * 2, LONGEST_SECONDS);
      await pause(away);
    }
  }
}
