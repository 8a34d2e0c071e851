// @ts-check
// Dead letters: finding those that are meant, and grouping them by what went wrong.
import { call, get, seg } from "./api.js";
import { Job, one } from "./job.js";

/** @typedef {{ function?: string, kind?: string, reason?: string }} Meant */

/**
 * @typedef {object} Letter
 * @property {string} callId
 * @property {string} function
 * @property {"call" | "callback"} kind
 * @property {string} reason
 * @property {number} attempts
 * @property {number} [lastStatus]
 * @property {string} deadAt
 * @property {number} sequence
 */

const PAGE = 1000;
const PART = 100;
export const MOST = 20_000;

/**
 * A call may have two dead letters.
 * @param {Letter} letter
 */
export const keyOf = (letter) => (letter.kind === "callback" ? `${letter.callId}?kind=callback` : letter.callId);

/** @param {string} key */
export function fromKey(key) {
  const [id, kind] = key.split("?kind=");
  return { id, kind: kind ?? "call" };
}

/**
 * The oldest ones that are meant, a page of them.
 * @param {Meant} meant
 * @param {AbortSignal} signal
 * @param {number} [after]
 */
export const list = (meant, signal, after = 0) =>
  get("/system/dead", { ...meant, limit: PAGE, after: after || undefined }, signal);

/**
 * All that are meant, up to a limit.
 * @param {Meant} meant
 * @param {AbortSignal} signal
 * @returns {Promise<Letter[]>}
 */
export async function all(meant, signal) {
  /** @type {Letter[]} */
  const letters = [];
  for (;;) {
    const page = await list(meant, signal, letters[letters.length - 1]?.sequence);
    letters.push(...page);
    if (page.length < PAGE || letters.length >= MOST) return letters;
  }
}

/**
 * What went wrong, without the numbers of one call.
 * @param {string} reason
 */
export const cause = (reason) => reason.replace(/ \(attempt \d+ of \d+\)$/, "");

/**
 * The same for a column that stands beside the function's name.
 * @param {string} reason
 */
export const brief = (reason) => cause(reason).replace(/^the (function|callback) /, "");

/** @param {Letter[]} letters */
export function groups(letters) {
  /** @type {Map<string, { function: string, reason: string, kind: string, count: number, last: string }>} */
  const found = new Map();
  for (const letter of letters) {
    const reason = cause(letter.reason);
    const key = `${letter.function} ${letter.kind} ${reason}`;
    const group = found.get(key) ?? { function: letter.function, reason, kind: letter.kind, count: 0, last: "" };
    group.count += 1;
    if (letter.deadAt > group.last) group.last = letter.deadAt;
    found.set(key, group);
  }
  return [...found.values()].sort((a, b) => b.count - a.count);
}

/**
 * Redrives exactly these letters, in parts. Letters of calls that die meanwhile are left alone.
 * @param {Meant} meant the filter that all of them fit, and no others do in between
 * @param {Letter[]} letters the oldest first
 * @param {number} rate per second; 0 for as fast as possible
 */
export function redriveAll(meant, letters, rate) {
  const size = rate > 0 ? Math.max(1, Math.min(PART, Math.round(rate * 2))) : PART;
  const parts = [];
  for (let at = 0; at < letters.length; at += size) {
    parts.push({ after: letters[at - 1]?.sequence, limit: Math.min(size, letters.length - at) });
  }
  return new Job(
    parts,
    async (part) => {
      const { data } = await call("POST", "/system/dead-redrive", {
        query: { ...meant, ...part, rate: rate || undefined },
      });
      const refused = (data.refused ?? []).map((/** @type {any} */ each) => ({ id: each.callId, reason: each.reason }));
      return { done: data.done, refused };
    },
    { total: letters.length },
  );
}

/**
 * @param {string[]} keys
 * @param {"redrive" | "remove"} what
 * @param {number} [rate]
 */
export function each(keys, what, rate = 0) {
  return new Job(keys, (key) => one(fromKey(key).id, () => (what === "redrive" ? redrive(key) : remove(key))), {
    total: keys.length,
    rate,
  });
}

/**
 * @param {string} key
 * @param {unknown} [changes]
 */
export function redrive(key, changes) {
  const { id, kind } = fromKey(key);
  return call("POST", `/system/dead/${seg(id)}/redrive`, {
    query: { kind: kind === "call" ? undefined : kind },
    json: changes,
  });
}

/** @param {string} key */
export function remove(key) {
  const { id, kind } = fromKey(key);
  return call("DELETE", `/system/dead/${seg(id)}`, { query: { kind: kind === "call" ? undefined : kind } });
}
