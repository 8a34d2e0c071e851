// @ts-check
import { count, plural } from "../format.js";
import { html } from "../preact.js";

/**
 * How far a job is, and what was refused.
 * @param {{ job: import("../job.js").Job<any> | null, done: string }} props `done` is a word, such as "redriven"
 */
export function JobView({ job, done }) {
  if (!job) return null;
  const state = job.running ? (job.stopped ? "stopping" : "running") : job.at < job.total ? "stopped" : "finished";
  return html`<div class="job">
    <progress max=${job.total} value=${job.at} aria-label="Progress" />
    <p role="status">
      ${count(job.done)} of ${count(job.total)} ${done}, ${state}${job.refused.length > 0 && html`, <span class="text-bad">${plural(job.refused.length, "refusal")}</span>`}</p>
    ${job.error && html`<p class="error" role="alert">${job.error}</p>`}
    ${
      job.refused.length > 0 &&
      html`<ul class="refused">${job.refused.slice(0, 50).map(
        ({ id, reason }) => html`<li key=${id}>
        <a href=${`/ui/calls/${id}`}><code>${id}</code></a> ${reason}</li>`,
      )}
      ${job.refused.length > 50 && html`<li class="muted">and ${plural(job.refused.length - 50, "other")}</li>`}</ul>`
    }
  </div>`;
}
