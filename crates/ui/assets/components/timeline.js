// @ts-check
// A call as bars: what it waited for, its attempts, its pauses, its callbacks.
import { duration } from "../format.js";
import { html } from "../preact.js";
import { marks, spans } from "../timeline.js";
import { useTick } from "../use.js";

/** @param {{ call: any, isLive: boolean }} props */
export function Timeline({ call, isLive }) {
  useTick(isLive ? 500 : 60_000);
  const all = spans(call.timeline ?? [], Date.now());
  if (all.length === 0) return html`<p class="muted">Nothing has been noted of this call.</p>`;
  const from = Math.min(...all.map((span) => span.from));
  const to = Math.max(...all.map((span) => span.to), from + 1);
  const part = (/** @type {number} */ at) => ((at - from) / (to - from)) * 100;
  const seconds = (to - from) / 1000;
  return html`<div class="timeline">
    <div class="axis" aria-hidden="true"><span /><div class="axis-line"><span>0</span>
      ${marks(seconds).map(
        (at) => html`<span key=${at} style=${{ left: `${(at / seconds) * 100}%` }}>${duration(at)}
        </span>`,
      )}</div><span /></div>
    <ol>${all.map(
      (span, i) => html`<li key=${i} class="span-row">
      <div class="span-title">${span.title}</div>
      <div class="span-track" aria-hidden="true">
        ${marks(seconds).map((at) => html`<i key=${at} style=${{ left: `${(at / seconds) * 100}%` }} />`)}
        <div class=${`span-bar is-${span.tone} kind-${span.kind}${span.open ? " is-open" : ""}`}
          style=${{ left: `${part(span.from)}%`, width: `${part(span.to) - part(span.from)}%` }} /></div>
      <div class="span-time">
        ${span.to > span.from || span.open ? duration((span.to - span.from) / 1000) : `at ${duration((span.from - from) / 1000)}`}</div>
      <div class="span-note">${
        span.open
          ? html`<span class="muted">
        ${span.note ? `${span.note}, ` : ""}goes on</span>`
          : span.note
      }</div></li>`,
    )}</ol>
    <p class="hint">Each machine notes times by its own clock. The first is ${new Date(from).toLocaleString()}.</p>
  </div>`;
}
