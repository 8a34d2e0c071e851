// @ts-check
// Requests of queued calls that were made in this tab, so that they can be made again: skep keeps the request of a call only until its end.

const KEY = "skep.requests";
const MOST = 20;
const LARGEST = 64 * 1024;

/**
 * @typedef {object} Form
 * @property {string} method
 * @property {string} path
 * @property {string} query
 * @property {string} headers
 * @property {string} text
 * @property {string} callId
 * @property {string} delay
 * @property {string} callback
 */

/** @returns {[string, Form][]} by the id of the call, the oldest first */
function all() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
  } catch {
    return [];
  }
}

/**
 * @param {string} id of the call
 * @param {Form} form
 */
export function remember(id, form) {
  if (form.text.length > LARGEST) return;
  const others = all().filter(([known]) => known !== id);
  // The same id again would be the same call.
  const kept = [...others, [id, { ...form, callId: "" }]].slice(-MOST);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // Without storage nothing is remembered.
  }
}

/**
 * @param {string} id of the call
 * @returns {Form | undefined}
 */
export const remembered = (id) => all().find(([known]) => known === id)?.[1];
