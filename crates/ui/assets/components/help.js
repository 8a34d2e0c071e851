// @ts-check
import { keysAreOn, switchKeys } from "../keys.js";
import { html, useState } from "../preact.js";
import { PLACES } from "../routes.js";
import { Dialog } from "./dialog.js";

/**
 * The keyboard shortcuts.
 * @param {{ onClose: () => void }} props
 */
export function Help({ onClose }) {
  const [on, setOn] = useState(keysAreOn());
  const change = () => {
    switchKeys(!on);
    setOn(!on);
  };
  const places = PLACES.flat().filter(({ key }) => key);
  return html`<${Dialog} title="Keyboard shortcuts" onClose=${onClose}>
    <dl class="keys">
      <div><dt><kbd>/</kbd></dt><dd>Filter the list</dd></div>
      <div><dt><kbd>j</kbd> <kbd>k</kbd></dt><dd>Next and previous row</dd></div>
      <div><dt><kbd>Enter</kbd></dt><dd>Open the row</dd></div>
      <div><dt><kbd>Esc</kbd></dt><dd>Close a window</dd></div>
      <div><dt><kbd>?</kbd></dt><dd>These shortcuts</dd></div>
      ${places.map(
        ({ key, title }) => html`<div key=${key}><dt><kbd>g</kbd> <kbd>${key}</kbd></dt><dd>${title}</dd>
        </div>`,
      )}
    </dl>
    <label class="check"><input type="checkbox" checked=${on} onChange=${change} /> Single keys are shortcuts</label>
  <//>`;
}
