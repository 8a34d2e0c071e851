// @ts-check
import { html, useState } from "../preact.js";
import { Icon } from "./icon.js";
import { failed } from "./toast.js";

/**
 * Copies text.
 * @param {{ text: string | (() => string), label?: string }} props `label` says what, for those who do not see it
 */
export function Copy({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await write(typeof text === "function" ? text() : text);
      setDone(true);
      setTimeout(() => setDone(false), 1500);
    } catch (error) {
      failed(error);
    }
  };
  return html`<button type="button" class="plain copy" title=${label} aria-label=${done ? "Copied" : label} onClick=${copy}>
    <${Icon} name=${done ? "check" : "copy"} />
  </button>`;
}

/** @param {string} text */
async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without HTTPS browsers have no clipboard for pages, but still copy a selection.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "sr-only";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("The browser does not let this page copy: select the text and copy it yourself.");
}

/**
 * An id or a name that can be copied.
 * @param {{ text: string, label?: string }} props
 */
export function Id({ text, label }) {
  return html`<span class="id"><code>${text}</code><${Copy} text=${text} label=${label ?? `Copy ${text}`} /></span>`;
}
