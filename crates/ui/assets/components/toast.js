// @ts-check
// Short notes on what an act of the reader did.
import { html, useEffect, useState } from "../preact.js";
import { Icon } from "./icon.js";

/** @typedef {{ id: number, tone: "ok" | "bad", text: string, href?: string, link?: string }} Note */

/** @type {Note[]} */
let notes = [];
let last = 0;
/** @type {(() => void) | null} */
let changed = null;

/**
 * Shows a note: for some seconds if it is good news, until it is closed otherwise.
 * @param {"ok" | "bad"} tone
 * @param {string} text
 * @param {{ href: string, link: string }} [more] where it leads
 */
export function toast(tone, text, more) {
  const id = (last += 1);
  notes = [...notes.slice(-3), { id, tone, text, ...more }];
  changed?.();
  if (tone === "ok") setTimeout(() => close(id), 8000);
}

/**
 * Says why something failed.
 * @param {unknown} error
 */
export const failed = (error) => toast("bad", error instanceof Error ? error.message : String(error));

/** @param {number} id */
function close(id) {
  notes = notes.filter((note) => note.id !== id);
  changed?.();
}

export function Toasts() {
  const [, again] = useState(0);
  useEffect(() => {
    changed = () => again((n) => n + 1);
  }, []);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${notes.map(
      (note) => html`<div key=${note.id} class=${`toast is-${note.tone}`}>
      <${Icon} name=${note.tone === "ok" ? "check" : "warning"} />
      <p>${note.text} ${note.href && html`<a href=${note.href}>${note.link}</a>`}</p>
      <button class="plain" aria-label="Close this note" onClick=${() => close(note.id)}><${Icon} name="cross" />
        </button>
    </div>`,
    )}
  </div>`;
}
