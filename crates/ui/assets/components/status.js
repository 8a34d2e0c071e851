// @ts-check
// States as an icon and a word; the colour only helps.
import { html } from "../preact.js";
import { Icon } from "./icon.js";

/** @typedef {"ok" | "bad" | "warn" | "busy" | "quiet"} Tone */

/** @type {Record<string, [Tone, import("./icon.js").IconName]>} */
const CALLS = {
  scheduled: ["quiet", "clock"],
  queued: ["quiet", "queued"],
  running: ["busy", "running"],
  retrying: ["warn", "retry"],
  succeeded: ["ok", "check"],
  failed: ["bad", "cross"],
  dead: ["bad", "dead"],
  cancelled: ["quiet", "ban"],
};

/** @param {{ tone: Tone, icon?: import("./icon.js").IconName, children?: unknown }} props */
export function Status({ tone, icon, children }) {
  return html`<span class=${`status is-${tone}`}>${icon && html`<${Icon} name=${icon} />`}<span>${children}</span>
    </span>`;
}

/**
 * The state of a call.
 * @param {{ state: string }} props
 */
export function CallState({ state }) {
  const [tone, icon] = CALLS[state] ?? ["quiet", "info"];
  return html`<${Status} tone=${tone} icon=${icon}>${state}<//>`;
}

/**
 * How many replicas of a function are ready.
 * @param {{ row: { ready: number, wanted: number, problem: string } }} props
 */
export function Replicas({ row }) {
  if (row.wanted === 0) return html`<${Status} tone="quiet" icon="pause">0<//>`;
  const text = `${row.ready}/${row.wanted}`;
  if (row.ready >= row.wanted && !row.problem) return html`<${Status} tone="ok" icon="check">${text}<//>`;
  return html`<${Status} tone=${row.ready ? "warn" : "bad"} icon="warning">${text}<//>`;
}

/**
 * A status of HTTP.
 * @param {{ status: number | undefined }} props
 */
export function HttpStatus({ status }) {
  if (!status) return html`<span class="faint">–</span>`;
  const tone = status < 400 ? "ok" : status < 500 ? "warn" : "bad";
  return html`<span class=${`code is-${tone}`}>${status}</span>`;
}
