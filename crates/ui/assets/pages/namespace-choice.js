// @ts-check
import { get } from "../api.js";
import { html } from "../preact.js";
import { useSearch } from "../router.js";
import { useLimits } from "../session.js";
import { useLoad } from "../use.js";

/**
 * The namespace that the address names, or the first one that the reader may see; "" for the default one, and undefined until it is known.
 * @returns {string | undefined}
 */
export function useNamespace() {
  const [value] = useSearch("namespace");
  const limits = useLimits();
  return value || (limits && (limits[0] ?? ""));
}

/** The choice of a namespace, kept in the address; without one it is the default one. */
export function Namespace() {
  const [value, setValue] = useSearch("namespace");
  const limits = useLimits();
  const { data } = useLoad(
    // Only those who are not limited may ask for all.
    async (signal) => (limits?.length === 0 ? get("/system/namespaces", {}, signal).catch(() => []) : (limits ?? [])),
    [limits ?? null],
    30_000,
  );
  const names = /** @type {string[]} */ (data ?? []);
  if (names.length < 2 && !value) return null;
  return html`<label class="choice"><span class="sr-only">Namespace</span>
    <select name="namespace" value=${value || names[0]} onChange=${(/** @type {any} */ e) => setValue(e.target.value === names[0] ? "" : e.target.value)}>
    ${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>`;
}
