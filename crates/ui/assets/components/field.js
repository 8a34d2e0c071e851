// @ts-check
import { html } from "../preact.js";

/**
 * A field of a form with its name and a hint.
 * @param {{
 *   label: string, value: string, onInput: (value: string) => void, hint?: unknown, lines?: number, type?: string,
 *   placeholder?: string, required?: boolean, mono?: boolean, list?: string[], pattern?: string, disabled?: boolean,
 * }} props `lines` makes it a field of several lines; `list` are proposals
 */
export function Field(props) {
  const {
    label,
    value,
    onInput,
    hint,
    lines,
    type = "text",
    placeholder,
    required,
    mono,
    list,
    pattern,
    disabled,
  } = props;
  const listId = list && `list-${label.replaceAll(/\W/g, "-")}`;
  const input = (/** @type {any} */ event) => onInput(event.target.value);
  const shared = { value, placeholder, required, disabled, onInput: input, spellcheck: false, autocomplete: "off" };
  return html`<label class="field"><span>${label}</span>
    ${lines ? html`<textarea ...${shared} rows=${lines} />` : html`<input ...${shared} type=${type} class=${mono ? "mono" : ""} list=${listId} pattern=${pattern} />`}
    ${list && html`<datalist id=${listId}>${list.map((each) => html`<option key=${each} value=${each} />`)}</datalist>`}
    ${hint && html`<span class="hint">${hint}</span>`}</label>`;
}

/**
 * A choice of few.
 * @param {{ label: string, value: string, onInput: (value: string) => void, options: [string, string][], hint?: unknown }} props
 */
export function Select({ label, value, onInput, options, hint }) {
  return html`<label class="field"><span>${label}</span>
    <select value=${value} onChange=${(/** @type {any} */ event) => onInput(event.target.value)}>
      ${options.map(
        ([key, title]) => html`<option key=${key} value=${key} selected=${key === value}>${title}
        </option>`,
      )}</select>
    ${hint && html`<span class="hint">${hint}</span>`}</label>`;
}
