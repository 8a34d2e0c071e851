// @ts-check
// Keys: g and a letter goes to a place, / to the filter, j and k through rows, Enter opens one, ? shows this.
import { navigate } from "./router.js";
import { PLACES } from "./routes.js";

const KEY = "skep.keys";
let waits = 0;

/** Whether single keys do something. */
export function keysAreOn() {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true;
  }
}

/** @param {boolean} on */
export function switchKeys(on) {
  try {
    localStorage.setItem(KEY, on ? "on" : "off");
  } catch {
    // Without storage they stay on.
  }
}

/** @param {() => void} help shows what the keys are */
export function startKeys(help) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.closest("input, textarea, select, dialog, [contenteditable]")) return;
    if (!keysAreOn()) return;
    if (press(event.key, help)) event.preventDefault();
  });
}

/**
 * @param {string} key
 * @param {() => void} help
 */
function press(key, help) {
  if (Date.now() < waits) {
    waits = 0;
    const place = PLACES.flat().find((each) => each.key === key);
    if (place) navigate(place.href);
    return place !== undefined;
  }
  if (key === "g") waits = Date.now() + 1500;
  else if (key === "/") return focus("[data-filter]");
  else if (key === "j" || key === "k") return row(key === "j" ? 1 : -1);
  else if (key === "?") help();
  else return false;
  return true;
}

/** @param {string} selector */
function focus(selector) {
  const element = document.querySelector(selector);
  if (!(element instanceof HTMLElement)) return false;
  element.focus();
  if (element instanceof HTMLInputElement) element.select();
  return true;
}

/** @param {number} by */
function row(by) {
  const links = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("a.row-link")]);
  if (links.length === 0) return false;
  const at = links.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  links[Math.min(Math.max(at + by, 0), links.length - 1)].focus();
  return true;
}
