// @ts-check
// The address bar is the state: routes, filters and selections are read from it and written to it.
import { useCallback, useEffect, useRef, useState } from "./preact.js";

/** @type {Set<() => void>} */
const listeners = new Set();

function changed() {
  for (const listener of listeners) listener();
}

addEventListener("popstate", changed);

/**
 * Goes to an address of the UI.
 * @param {string} to a path with its query
 * @param {{ replace?: boolean }} [how] `replace` leaves no step in the history
 */
export function navigate(to, how = {}) {
  if (to === location.pathname + location.search) return;
  if (how.replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  changed();
}

/**
 * Calls `listener` after each change of the address.
 * @param {() => void} listener
 */
export function onNavigate(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** The current path, and a new render when the address changes. */
export function useLocation() {
  const [, again] = useState(0);
  useEffect(() => onNavigate(() => again((n) => n + 1)), []);
  return { path: location.pathname, search: location.search };
}

/**
 * One value of the query, as state: `[value, set]`. Empty values leave the address.
 * @param {string} name
 * @param {string} [preset] the value that is not written down
 * @returns {[string, (value: string) => void]}
 */
export function useSearch(name, preset = "") {
  useLocation();
  const value = new URLSearchParams(location.search).get(name) ?? preset;
  return [value, (next) => setSearch({ [name]: next === preset ? "" : next })];
}

/** A longer selection is not written down: servers refuse such addresses. */
const MAX_SELECTION = 2000;

/**
 * Rows that are selected, kept in the address: `[selected, select]`. Another `key` begins with none.
 * @param {string} key of what is listed
 * @returns {[Set<string>, (keys: Set<string>) => void]}
 */
export function useSelection(key) {
  const [selected, setSelected] = useState(
    () => new Set((new URLSearchParams(location.search).get("selected") ?? "").split(",").filter(Boolean)),
  );
  const select = useCallback((/** @type {Set<string>} */ keys) => {
    const text = [...keys].join();
    setSelected(keys);
    setSearch({ selected: text.length > MAX_SELECTION ? "" : text });
  }, []);
  const before = useRef(key);
  useEffect(() => {
    if (before.current !== key) select(new Set());
    before.current = key;
  }, [key]);
  return [selected, select];
}

/**
 * Changes values of the query in place.
 * @param {Record<string, string>} values an empty value removes its name
 */
export function setSearch(values) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  navigate(location.pathname + (text && `?${text}`), { replace: true });
}

/**
 * The parameters of a path that fits a pattern such as `/ui/functions/:name/:tab?`.
 * @param {string} pattern
 * @param {string} path
 * @returns {Record<string, string> | null}
 */
export function match(pattern, path) {
  const wanted = pattern.split("/").filter(Boolean);
  const parts = path.split("/").filter(Boolean);
  if (parts.length > wanted.length) return null;
  /** @type {Record<string, string>} */
  const found = {};
  for (const [i, want] of wanted.entries()) {
    const part = parts[i];
    if (part === undefined) {
      if (!want.endsWith("?")) return null;
    } else if (want.startsWith(":")) {
      found[want.replace(/[:?]/g, "")] = decode(part);
    } else if (want !== part) {
      return null;
    }
  }
  return found;
}

/** @param {string} part */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// Links within the UI change the page without loading it again.
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return;
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (!/^\/ui(\/|$)/.test(link.pathname) || (link.hash && link.pathname === location.pathname)) return;
  event.preventDefault();
  navigate(link.pathname + link.search);
});
