// @ts-check
// The live figures of all functions, from the stream of the installation or, where there is none, by asking again.
import { get } from "./api.js";
import { History } from "./history.js";
import { useEffect, useState } from "./preact.js";
import { loadInfo } from "./session.js";
import { share } from "./shared.js";
import { fromStream, totals } from "./stats-rows.js";

/**
 * @typedef {object} Snapshot
 * @property {number} at when, in milliseconds
 * @property {"live" | "polling"} by
 * @property {boolean} nats whether the gateway reaches NATS
 * @property {boolean} controller whether one publishes figures
 * @property {string} away why there are no new figures; empty while there are
 * @property {number | undefined} dead all dead letters
 * @property {number | undefined} callbacks those that wait for a try
 * @property {import("./stats-rows.js").Budget} budget of all queues together; empty for those who see only some
 * @property {import("./stats-rows.js").Row[]} rows
 * @property {ReturnType<typeof fromStream>["sums"]} sums of all rows
 */

const POLL = 2000;
/** With the stream, only dead letters and bytes of queues are asked for. */
const POLL_BESIDE = 6000;
const TRY_STREAM = 30_000;

const NOTHING = { ...totals([]), p50: undefined, p95: undefined };

/** @type {Snapshot | null} */
let newest = null;
/** @type {Set<() => void>} */
const listeners = new Set();
export const history = new History();

/** The newest figures, and a new render with each. */
export function useStats() {
  const [, again] = useState(0);
  useEffect(() => {
    const listener = () => again((n) => n + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return newest;
}

/** Counts what has come to the history, with a new render each time. */
export function useHistory() {
  const [version, setVersion] = useState(history.version);
  useEffect(() => {
    const listener = () => setVersion(history.version);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return version;
}

/**
 * The newest figures of one function.
 * @param {string} name
 */
export function useRow(name) {
  useEffect(() => void past(name), [name]);
  return useStats()?.rows.find((row) => row.name === name);
}

/**
 * Loads the last 15 minutes of a function, or of all together.
 * @param {string} name
 */
async function past(name) {
  try {
    // Those who may see only some namespaces cannot ask for all of them together.
    const isLimited = (await loadInfo())?.caller?.namespaces.length > 0;
    for (const each of isLimited ? [name].filter(Boolean) : ["", name]) {
      if (!history.seeded.has(each)) history.seed(each, await get("/system/stats/history", { function: each }));
    }
  } catch {
    // Without the gateway's past there is the browser's own.
  }
}

/** @param {Snapshot} snapshot */
function take(snapshot) {
  newest = snapshot;
  if (!snapshot.away && snapshot.nats && snapshot.controller) history.add(snapshot.at, snapshot.rows, snapshot.sums);
  for (const listener of listeners) listener();
}

/**
 * @param {number} ms
 * @returns {AbortSignal}
 */
const within = (ms) => /** @type {any} */ (AbortSignal).timeout(ms);

/**
 * @param {any} event a second of the stream
 * @param {any} status the last answer of `/system/status`
 * @param {Snapshot["by"]} by
 * @returns {Snapshot}
 */
const snapshot = (event, status, by) => ({
  ...fromStream(event, newest, status),
  by,
  away: "",
  nats: event.state !== "no-nats",
  controller: event.state === "live",
  dead: event.totals.deadLetters ?? status?.deadLetters,
  callbacks: event.totals.callbacks,
  budget: { queueBytes: status?.queueBytes, queueLimit: status?.queueBytesLimit },
});

/**
 * What is known while the gateway does not answer.
 * @param {string} away
 * @returns {Snapshot}
 */
const unanswered = (away) => ({
  ...(newest ?? { at: Date.now(), dead: undefined, callbacks: undefined, budget: {}, rows: [], sums: NOTHING }),
  by: "polling",
  nats: true,
  controller: true,
  away,
});

/** @param {(message: unknown) => void} emit */
function open(emit) {
  /** @type {EventSource | null} */
  let stream = null;
  let closed = false;
  let timer = 0;
  let tried = -TRY_STREAM;
  /** @type {any} */
  let status = null;

  const tick = async () => {
    const begun = Date.now();
    const every = stream ? POLL_BESIDE : POLL;
    try {
      const [next, second] = await Promise.all([
        get("/system/status", {}, within(2 * POLL)),
        stream ? null : get("/system/stats", {}, within(2 * POLL)),
      ]);
      status = next;
      if (second && !stream) emit(snapshot(second, status, "polling"));
    } catch (error) {
      if (!closed && !stream) emit(unanswered(/** @type {Error} */ (error).message));
    }
    if (closed) return;
    if (!stream && Date.now() - tried >= TRY_STREAM) follow();
    timer = setTimeout(tick, Math.max(every - (Date.now() - begun), 500));
  };
  const follow = () => {
    tried = Date.now();
    const source = new EventSource("/system/stats/stream");
    const stop = () => {
      source.close();
      if (stream === source) stream = null;
    };
    source.addEventListener("open", () => (closed ? stop() : (stream = source)));
    source.addEventListener("error", stop);
    source.addEventListener("message", ({ data }) => emit(snapshot(JSON.parse(data), status, "live")));
  };

  void past("");
  void tick();
  return () => {
    closed = true;
    clearTimeout(timer);
    stream?.close();
  };
}

/** Starts the figures; once, when the UI starts. */
export const startStats = () => share("skep-stats", open, take);
