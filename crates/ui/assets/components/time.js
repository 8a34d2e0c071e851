// @ts-check
import { ago, clock } from "../format.js";
import { html } from "../preact.js";
import { useTick } from "../use.js";

/**
 * A time as how long ago it was; the exact one is in the tooltip.
 * @param {{ at?: string | null, exact?: boolean }} props
 */
export function Time({ at, exact = false }) {
  const then = at ? Date.parse(at) : NaN;
  useTick(Math.abs(Date.now() - then) < 90_000 ? 1000 : 30_000);
  if (!at || Number.isNaN(then)) return html`<span class="faint">–</span>`;
  const local = new Date(then);
  return html`<time datetime=${at} title=${`${local.toLocaleString()} (${at})`}>${exact ? clock(then) : ago(then)}
    </time>`;
}
