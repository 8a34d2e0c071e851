// @ts-check
// Which function a list is of, kept in the address. Those who may see only some namespaces cannot ask for all functions together.
import { html } from "../preact.js";
import { useSearch } from "../router.js";
import { useLimits } from "../session.js";
import { useStats } from "../stats.js";
import { Icon } from "./icon.js";
import { Empty } from "./page.js";

/**
 * The function that a list is of; "" for all, `undefined` until it is known, and `null` if there is none to choose.
 * @returns {string | undefined | null}
 */
export function useOneFunction() {
  const [chosen] = useSearch("function");
  const limits = useLimits();
  const rows = useStats()?.rows;
  if (chosen || limits?.length === 0) return chosen;
  if (!limits || !rows) return undefined;
  return rows[0]?.name ?? null;
}

/** The choice, or the way back to all functions. */
export function FunctionChoice() {
  const [chosen, choose] = useSearch("function");
  const limits = useLimits();
  const one = useOneFunction();
  const rows = useStats()?.rows ?? [];
  if (limits?.length) {
    const names = [...new Set([one, ...rows.map(({ name }) => name)])].filter(Boolean).sort();
    return html`<label class="inline"><span>Function</span>
      <select value=${one} onChange=${(/** @type {any} */ e) => choose(e.target.value)}>
      ${names.map((name) => html`<option key=${name} value=${name} selected=${name === one}>${name}</option>`)}</select></label>`;
  }
  return (
    chosen &&
    html`<button type="button" class="chip" onClick=${() => choose("")}>of ${chosen}<${Icon} name="cross" />
    <span class="sr-only">: show all functions</span></button>`
  );
}

/** What is shown where there is no function to choose. */
export function NoFunction() {
  const limits = useLimits() ?? [];
  return html`<${Empty} title="There is no function in your namespaces" icon="function">
    <p>You are limited to ${limits.join(", ")}.</p><//>`;
}
