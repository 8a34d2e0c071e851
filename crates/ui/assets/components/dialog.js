// @ts-check
import { html, useEffect, useRef, useState } from "../preact.js";
import { useAct } from "../use.js";
import { Icon } from "./icon.js";

/**
 * A window over the page. It closes with Escape, and gives the focus back.
 * @param {{ title: string, onClose: () => void, wide?: boolean, children?: unknown }} props
 */
export function Dialog({ title, onClose, wide = false, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    // The first thing to fill in, or the title; not the button that closes.
    const first = dialog.current?.querySelector("input, select, textarea") ?? dialog.current?.querySelector("h2");
    if (first instanceof HTMLElement) first.focus();
    return () => before instanceof HTMLElement && before.focus();
  }, []);
  return html`<dialog ref=${dialog} class=${wide ? "wide" : ""} aria-labelledby="dialog-title" onClose=${onClose}
    onClick=${(/** @type {MouseEvent} */ event) => event.target === dialog.current && onClose()}>
    <div class="dialog-body">
      <header><h2 id="dialog-title" tabindex="-1">${title}</h2>
        <button type="button" class="plain" aria-label="Close" onClick=${onClose}><${Icon} name="cross" /></button>
          </header>
      ${children}
    </div>
  </dialog>`;
}

/**
 * Asks before something that cannot be taken back.
 * @param {{
 *   title: string, act: string, onAct: () => Promise<void>, onClose: () => void, danger?: boolean, type?: string, children?: unknown,
 * }} props `type` is what has to be typed first
 */
export function Confirm({ title, act, onAct, onClose, danger = false, type, children }) {
  const [typed, setTyped] = useState("");
  const [error, setError] = useState("");
  const [run, busy] = useAct(async () => {
    try {
      await onAct();
      onClose();
    } catch (why) {
      setError(/** @type {Error} */ (why).message);
    }
  });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void run();
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit}>
      ${children}
      ${
        type &&
        html`<label class="field"><span>Type <code>${type}</code> to go on</span>
        <input value=${typed} autocomplete="off" spellcheck="false" onInput=${(/** @type {any} */ e) => setTyped(e.target.value)} /></label>`
      }
      ${error && html`<p class="error" role="alert">${error}</p>`}
      <footer><button type="button" onClick=${onClose}>Keep it as it is</button>
        <button class=${danger ? "danger" : "primary"} disabled=${busy || (type !== undefined && typed !== type)}>${act}
          </button></footer>
    </form>
  <//>`;
}
