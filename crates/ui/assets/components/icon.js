// @ts-check
import { html } from "../preact.js";

const PATHS = {
  overview: "M2.5 2.5H7V7H2.5zM9 2.5h4.5V7H9zM2.5 9H7v4.5H2.5zM9 9h4.5v4.5H9z",
  function: "M8 1.8 13.4 4.9v6.2L8 14.2 2.6 11.1V4.9z",
  calls: "M2 5.5h9M8.5 3 11 5.5 8.5 8M14 10.5H5M7.5 8 5 10.5 7.5 13",
  dead: "M2 4h12v8.5H2zM2 4.5l6 4.5 6-4.5",
  source: "M8 2v7M5 6.5 8 9.5l3-3M2.5 10v3.5h11V10",
  clock: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.8V8l2.3 1.5",
  logs: "M3 4h10M3 8h10M3 12h6",
  secret: "M5.5 8a2.7 2.7 0 1 0 0 5.4A2.7 2.7 0 0 0 5.5 8zM7.4 8.8 13 3.2M11 5.2l2 2",
  namespace: "M2 4h4l1.5 1.7H14V13H2z",
  health: "M1.5 8h3l2-4.5 3 9L11.5 8h3",
  check: "M3 8.5 6.3 12 13 4.5",
  cross: "M4 4l8 8M12 4l-8 8",
  warning: "M8 2.5 14.5 13.5h-13zM8 6.5v3M8 11.4v.2",
  info: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 7.5V11M8 5v.2",
  pause: "M5.5 4v8M10.5 4v8",
  play: "M5 3.5v9l7-4.5z",
  stop: "M4.5 4.5h7v7h-7z",
  retry: "M13 8a5 5 0 1 1-1.5-3.6M13 2.5v3h-3",
  ban: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM3.8 3.8l8.4 8.4",
  running: "M8 2a6 6 0 1 1-6 6",
  queued: "M4 8h.2M8 8h.2M12 8h.2",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9 13 13M13 3l-1.1 1.1M4.1 11.9 3 13",
  moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5z",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.3 10.3l3.4 3.4",
  right: "M6 3.5 10.5 8 6 12.5",
  up: "M8 13V3.5M4 7l4-4 4 4",
  down: "M8 3v9.5M4 9l4 4 4-4",
  plus: "M8 3v10M3 8h10",
  more: "M3.5 8h.2M8 8h.2M12.5 8h.2",
  download: "M8 2v8M5 7.5 8 10.5l3-3M3 13.5h10",
  keys: "M1.5 4h13v8h-13zM4 6.5h.2M6.7 6.5h.2M9.3 6.5h.2M12 6.5h.2M5 9.5h6",
  callback: "M13 4.5v3.5H4M6.5 5.5 4 8l2.5 2.5",
};

/** @typedef {keyof typeof PATHS} IconName */

/**
 * A drawing beside a word; it says nothing by itself.
 * @param {{ name: IconName, class?: string }} props
 */
export function Icon({ name, class: kind = "" }) {
  return html`<svg class=${`icon ${kind}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    <path d=${PATHS[name]} /></svg>`;
}
