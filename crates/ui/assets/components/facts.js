// @ts-check
import { percent } from "../format.js";
import { html } from "../preact.js";

/**
 * Names and values; those without a value are left out.
 * @param {{ facts: [string, unknown][] }} props
 */
export function Facts({ facts }) {
  const shown = facts.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  return html`<dl class="facts">${shown.map(
    ([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd>
    </div>`,
  )}</dl>`;
}

/**
 * A figure with its name, for a row of them.
 * @param {{ title: string, value: unknown, note?: unknown, tone?: string, href?: string }} props
 */
export function Figure({ title, value, note, tone = "", href }) {
  const body = html`<span class="figure-title">${title}</span><span class="figure-value">${value}</span>
    ${note !== undefined && html`<span class="figure-note">${note}</span>`}`;
  return href
    ? html`<a class=${`figure ${tone}`} href=${href}>${body}</a>`
    : html`<div class=${`figure ${tone}`}>${body}</div>`;
}

/**
 * Which part of something is used, as a bar and in percent.
 * @param {{ part: number, label: string }} props
 */
export function Meter({ part, label }) {
  const tone = part >= 0.95 ? "is-bad" : part >= 0.8 ? "is-warn" : "";
  const width = `${Math.min(part, 1) * 100}%`;
  return html`<span class=${`meter ${tone}`}>
    <span class="meter-track" role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(part * 100)}>
      <span class="meter-bar" style=${{ width }} /></span>${percent(part)}</span>`;
}
