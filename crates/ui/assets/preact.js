// @ts-check
// Preact with its hooks, and htm.
import { html as made } from "./vendor/preact-htm.js";
import { visible } from "./visible.js";

export {
  createContext,
  render,
  useCallback,
  useContext,
  useEffect,
  useErrorBoundary,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "./vendor/preact-htm.js";

/** @type {WeakMap<readonly string[], boolean[]>} which values of a template are text, and not attributes */
const places = new WeakMap();

/**
 * Elements of a template. Text in them is foreign more often than not, so all of it is shown with its control and bidi characters visible.
 * @param {TemplateStringsArray} template
 * @param {any[]} values
 */
export function html(template, ...values) {
  const isText = places.get(template) ?? find(template);
  return made(template, ...values.map((value, i) => (isText[i] && typeof value === "string" ? visible(value) : value)));
}

/** @param {TemplateStringsArray} template */
function find(template) {
  let inTag = false;
  const found = template.map((part) => {
    const last = Math.max(part.lastIndexOf("<"), part.lastIndexOf(">"));
    if (last >= 0) inTag = part[last] === "<";
    return !inTag;
  });
  places.set(template, found);
  return found;
}
