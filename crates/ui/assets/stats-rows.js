// @ts-check
// What the UI knows of a function at a moment.

/**
 * @typedef {object} Row
 * @property {string} name with its namespace, unless that is the default one
 * @property {number} ready replicas that answer
 * @property {number} wanted
 * @property {number} starting
 * @property {string} problem in words; empty if there is none
 * @property {string} [reason] why the scaler wants what it wants
 * @property {number} rate calls that end, per second
 * @property {number | undefined} errors which part of them fails; undefined without calls
 * @property {number | undefined} mean seconds per call
 * @property {number | undefined} p50 within how many seconds half of them end
 * @property {number | undefined} p95
 * @property {number} inFlight
 * @property {number | undefined} waiting in queues; undefined while it is not known
 * @property {number | undefined} age of what waits for the longest time, in seconds
 * @property {number | undefined} dead letters
 * @property {number | undefined} done calls so far
 * @property {number | undefined} failed of them
 * @property {number | undefined} queueBytes what waits takes, about
 * @property {number | undefined} queueLimit what it may take
 */

/** @typedef {{ queueBytes?: number, queueLimit?: number }} Budget bytes that wait, and that may */

/**
 * Rows from an event of `/system/stats/stream`, whose counts are of one second. Functions that it leaves out have not changed.
 * @param {any} event
 * @param {{ rows: Row[] } | null} before
 * @param {any} [status] the last answer of `/system/status`, for what the stream does not have
 */
export function fromStream(event, before, status) {
  const rows = new Map(event.all ? [] : (before?.rows ?? []).map((row) => [row.name, row]));
  const size = rows.size;
  for (const name of event.gone ?? []) rows.delete(name);
  const kept = rows.size;
  for (const f of event.functions) rows.set(f.name, fromEvent(f, event.ms / 1000, rows.get(f.name)));
  for (const f of status?.functions ?? []) {
    const row = rows.get(f.name);
    if (row && !isMerged(row, f)) rows.set(f.name, merged(row, f));
  }
  const all = [...rows.values()];
  // Those that were there before are in order.
  if (size === 0 || kept !== rows.size) all.sort((a, b) => (a.name < b.name ? -1 : 1));
  const { p50Ms, p95Ms } = event.totals;
  return {
    at: Date.parse(event.at),
    rows: all,
    sums: { ...totals(all), p50: inSeconds(p50Ms), p95: inSeconds(p95Ms) },
  };
}

/** @param {number | undefined} ms */
const inSeconds = (ms) => (ms === undefined ? undefined : ms / 1000);

/**
 * @param {any} f
 * @param {number} seconds
 * @param {Row | undefined} before
 * @returns {Row}
 */
function fromEvent(f, seconds, before) {
  const { done = 0, failed = 0, busyMs = 0, inFlight = 0, held = 0 } = f;
  return {
    name: f.name,
    ready: f.ready,
    wanted: f.replicas,
    starting: f.starting,
    problem: f.problem ?? "",
    reason: f.scaling?.reason,
    rate: done / seconds,
    errors: done ? failed / done : undefined,
    mean: done ? busyMs / 1000 / done : undefined,
    p50: inSeconds(f.p50Ms),
    p95: inSeconds(f.p95Ms),
    inFlight: inFlight + held,
    waiting: f.waiting,
    age: inSeconds(f.ageMs),
    dead: before?.dead,
    done: before?.done,
    failed: before?.failed,
    queueBytes: before?.queueBytes,
    queueLimit: before?.queueLimit,
  };
}

/**
 * @param {Row} row
 * @param {any} f
 */
const isMerged = (row, f) =>
  row.dead === f.deadLetters &&
  row.done === f.ended &&
  row.failed === f.failed &&
  row.queueBytes === f.queueBytes &&
  row.queueLimit === f.queueBytesLimit;

/**
 * @param {Row} row
 * @param {any} f
 */
const merged = (row, f) => ({
  ...row,
  dead: f.deadLetters,
  done: f.ended,
  failed: f.failed,
  queueBytes: f.queueBytes,
  queueLimit: f.queueBytesLimit,
});

/**
 * The figures of all rows together. What is not known of one is not known of all.
 * @param {Row[]} rows
 */
export function totals(rows) {
  let rate = 0;
  let failing = 0;
  let busy = 0;
  let inFlight = 0;
  /** @type {number | undefined} */
  let waiting = 0;
  let age = 0;
  for (const row of rows) {
    rate += row.rate;
    failing += row.rate * (row.errors ?? 0);
    busy += row.rate * (row.mean ?? 0);
    inFlight += row.inFlight;
    waiting = waiting === undefined || row.waiting === undefined ? undefined : waiting + row.waiting;
    age = Math.max(age, row.age ?? 0);
  }
  return {
    rate,
    errors: rate ? failing / rate : undefined,
    mean: rate ? busy / rate : undefined,
    inFlight,
    waiting,
    age: waiting === undefined ? undefined : age,
  };
}

/**
 * Which part of a budget is used, for those that are used at all.
 * @param {Budget} budget
 */
export const share = ({ queueBytes = 0, queueLimit }) => (queueLimit ? queueBytes / queueLimit : 0);

/**
 * A name and its namespace.
 * @param {string} name
 */
export function split(name) {
  const dot = name.lastIndexOf(".");
  return dot < 0 ? { name, namespace: "" } : { name: name.slice(0, dot), namespace: name.slice(dot + 1) };
}
