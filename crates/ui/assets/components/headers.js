// @ts-check
import { html } from "../preact.js";

/**
 * Headers as a list, by their names.
 * @param {{ headers: [string, string][] }} props
 */
export function Headers({ headers }) {
  if (headers.length === 0) return html`<p class="muted">No headers.</p>`;
  const sorted = [...headers].sort(([a], [b]) => (a < b ? -1 : 1));
  return html`<dl class="headers">${sorted.map(
    ([name, value], i) => html`<div key=${i}><dt>${name}</dt><dd>
    ${value}</dd></div>`,
  )}</dl>`;
}

/**
 * Headers of lines such as `Name: value`; throws what is wrong with one.
 * @param {string} text
 * @returns {[string, string][]}
 */
export function readHeaders(text) {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line) => {
      const colon = line.indexOf(":");
      const name = line.slice(0, Math.max(colon, 0)).trim();
      if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name))
        throw new Error(`“${line}” is no header: write Name: value, one a line.`);
      return [name, line.slice(colon + 1).trim()];
    });
}
