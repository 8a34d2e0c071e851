// @ts-check
import { html } from "../preact.js";

/**
 * What changes between two deployments.
 * @param {{ changes: import("../deployment.js").Change[] }} props
 */
export function Diff({ changes }) {
  if (changes.length === 0) return html`<p class="muted">Nothing differs.</p>`;
  return html`<dl class="diff">${changes.map(
    ({ setting, before, after }) => html`<div key=${setting}><dt>${setting}</dt>
    <dd>${before !== undefined && html`<del><span class="sr-only">before: </span>${before}</del>`}
      ${after !== undefined && html`<ins><span class="sr-only">after: </span>${after}</ins>`}</dd></div>`,
  )}</dl>`;
}
