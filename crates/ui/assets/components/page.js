// @ts-check
// The frame of each page: its title, its acts, and what is shown while there is nothing else.
import { html, useEffect, useRef } from "../preact.js";
import { Icon } from "./icon.js";

/**
 * @param {{ title: string, above?: unknown, lead?: unknown, acts?: unknown, children?: unknown, name?: string }} props
 *   `name` is the title of the tab if it differs
 */
export function Page({ title, above, lead, acts, children, name }) {
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    document.title = `${name ?? title} · skep`;
  }, [title, name]);
  // After a link, the keyboard and screen readers begin at the title of the new page.
  useEffect(() => {
    if (Page.shown) heading.current?.focus({ preventScroll: true });
    Page.shown = true;
  }, []);
  return html`<div class="page">
    <header class="page-head">
      ${above && html`<p class="crumbs">${above}</p>`}
      <div class="page-title"><h1 tabindex="-1" ref=${heading}>${title}</h1>${
        lead &&
        html`<div class="lead">${lead}
        </div>`
      }
        ${acts && html`<div class="acts">${acts}</div>`}</div>
    </header>
    ${children}
  </div>`;
}
Page.shown = false;

/**
 * What to do next where there is nothing yet.
 * @param {{ title: string, icon?: import("./icon.js").IconName, children?: unknown }} props
 */
export function Empty({ title, icon = "info", children }) {
  return html`<div class="empty"><${Icon} name=${icon} /><h2>${title}</h2>${children}</div>`;
}

/**
 * Why something could not be loaded.
 * @param {{ error: Error | undefined, retry?: () => void }} props
 */
export function Failure({ error, retry }) {
  if (!error) return null;
  return html`<div class="notice is-bad" role="alert"><${Icon} name="warning" /><p>${error.message}</p>
    ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}</div>`;
}

/**
 * A note that stays.
 * @param {{ tone?: "bad" | "warn" | "quiet" | "ok", icon?: import("./icon.js").IconName, children?: unknown }} props
 */
export function Notice({ tone = "quiet", icon = "info", children }) {
  return html`<div class=${`notice is-${tone}`}><${Icon} name=${icon} /><div>${children}</div></div>`;
}

/**
 * A block of a page with a title.
 * @param {{ title: string, side?: unknown, children?: unknown, class?: string }} props
 */
export function Section({ title, side, children, class: kind = "" }) {
  return html`<section class=${`section ${kind}`}><div class="section-head"><h2>${title}</h2>
    ${side && html`<div class="section-side">${side}</div>`}</div>${children}</section>`;
}

/**
 * Grey bars in place of what loads, so that nothing jumps.
 * @param {{ rows?: number }} props
 */
export function Loading({ rows = 6 }) {
  return html`<div class="loading" role="status"><span class="sr-only">Loading…</span>
    ${Array.from({ length: rows }, (_, i) => html`<div key=${i} class="bone" />`)}</div>`;
}
