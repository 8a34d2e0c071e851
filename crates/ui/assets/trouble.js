// @ts-check
// What an operator has to know first.
import { get, seg } from "./api.js";
import { ago, bytes, count, duration, percent, plural } from "./format.js";
import { useInfo, useLimits } from "./session.js";
import { share } from "./stats-rows.js";
import { useStats } from "./stats.js";
import { useLoad } from "./use.js";

/**
 * @typedef {object} Trouble
 * @property {string} key
 * @property {"bad" | "warn"} tone
 * @property {import("./components/icon.js").IconName} icon
 * @property {string} title
 * @property {string} text
 * @property {string} href where to do something about it
 * @property {string} act
 */

const OLD = 60;
const EVERY = 10_000;
/** A certificate that runs out within this number of days is worth a look. */
export const SOON = 14;
/** From this part of its budget on, a queue is nearly full. */
const NEARLY = 0.8;

/** All trouble that is known now, the worst first; `checked` when everything was looked at. */
export function useTrouble() {
  const stats = useStats();
  const dead = stats?.dead ?? 0;
  // Sources are in all namespaces, and so are callbacks of all functions.
  const limits = useLimits();
  const certificate = Date.parse(useInfo()?.certificate_ends_at ?? "");
  const sees = limits?.length === 0;
  const letters = useLoad(
    (signal) => (sees ? get("/system/dead", { kind: "callback", limit: 1000 }, signal) : Promise.resolve([])),
    [sees, dead > 0],
    EVERY,
  );
  const sources = useLoad((signal) => (sees ? get("/system/sources", {}, signal) : Promise.resolve([])), [sees], EVERY);
  const rows = stats?.rows ?? [];
  const undelivered = Array.isArray(letters.data) ? letters.data : [];
  const callbacks = undelivered.length;
  const found = [
    ...rows.filter((row) => row.problem || (row.wanted > 0 && row.ready === 0)).map(ofFunction),
    ...(dead - callbacks > 0 ? [ofDead(dead - callbacks, deadCalls(rows, undelivered))] : []),
    ...(callbacks > 0 ? [ofCallbacks(callbacks)] : []),
    ...(stats && share(stats.budget) >= NEARLY ? [ofBudget("", stats.budget)] : []),
    ...rows.filter((row) => share(row) >= NEARLY).map((row) => ofBudget(row.name, row)),
    ...rows.filter((row) => (row.waiting ?? 0) > 0 && (row.age ?? 0) > OLD).map(ofAge),
    ...(certificate < Date.now() + SOON * 86_400_000 ? [ofCertificate(certificate)] : []),
    ...(Array.isArray(sources.data) ? sources.data : []).flatMap(ofSource),
  ];
  return {
    found: found.sort((a, b) => Number(a.tone !== "bad") - Number(b.tone !== "bad")),
    checked: stats !== null && limits !== undefined && !sources.loading,
  };
}

/**
 * @param {import("./stats-rows.js").Row} row
 * @returns {Trouble}
 */
function ofFunction(row) {
  const text = row.problem || `${plural(row.wanted, "replica")} wanted, none is ready yet.`;
  return {
    key: `f${row.name}`,
    tone: row.ready ? "warn" : "bad",
    icon: "function",
    title: row.name,
    text,
    href: `/ui/functions/${seg(row.name)}/logs`,
    act: "Logs",
  };
}

/**
 * How many calls of each function are dead, most first; its callbacks are shown apart.
 * @param {import("./stats-rows.js").Row[]} rows
 * @param {{ function: string }[]} undelivered
 */
function deadCalls(rows, undelivered) {
  const callbacks = new Map();
  for (const letter of undelivered) callbacks.set(letter.function, (callbacks.get(letter.function) ?? 0) + 1);
  return rows
    .map(({ name, dead = 0 }) => ({ name, dead: dead - (callbacks.get(name) ?? 0) }))
    .filter(({ dead }) => dead > 0)
    .sort((a, b) => b.dead - a.dead);
}

/**
 * @param {number} dead
 * @param {{ name: string, dead: number }[]} most
 * @returns {Trouble}
 */
function ofDead(dead, most) {
  const names = most
    .slice(0, 3)
    .map((row) => `${row.name} ${count(row.dead)}`)
    .join(", ");
  const text = most.length > 3 ? `${names} and ${plural(most.length - 3, "other function")}` : names;
  return {
    key: "dead",
    tone: "bad",
    icon: "dead",
    title: plural(dead, "dead letter"),
    text,
    href: "/ui/dead",
    act: "Look and redrive",
  };
}

/**
 * @param {number} n
 * @returns {Trouble}
 */
function ofCallbacks(n) {
  return {
    key: "callbacks",
    tone: "bad",
    icon: "callback",
    title: `${plural(n, "callback")} could not be delivered`,
    text: "The results are kept.",
    href: "/ui/dead?kind=callback",
    act: "Look and redrive",
  };
}

/**
 * @param {import("./stats-rows.js").Row} row
 * @returns {Trouble}
 */
function ofAge(row) {
  return {
    key: `a${row.name}`,
    tone: "warn",
    icon: "queued",
    title: `${row.name} cannot keep up`,
    text: `${plural(row.waiting ?? 0, "call")} waiting, the oldest for ${duration(row.age)}.`,
    href: `/ui/functions/${seg(row.name)}/scaling`,
    act: "Scale",
  };
}

/**
 * @param {string} name of a function, or "" for all queues together
 * @param {import("./stats-rows.js").Budget} budget
 * @returns {Trouble}
 */
function ofBudget(name, budget) {
  const used = share(budget);
  return {
    key: `b${name}`,
    tone: used >= 1 ? "bad" : "warn",
    icon: "queued",
    title: name ? `The queue of ${name} is ${percent(used)} full` : `All queues together are ${percent(used)} full`,
    text: `${bytes(budget.queueBytes)} of ${bytes(budget.queueLimit)}. When it is full, ${name ? "its calls" : "queued calls"} are refused.`,
    href: name ? `/ui/calls?show=waiting&function=${seg(name)}` : "/ui/calls?show=waiting",
    act: "Look",
  };
}

/**
 * @param {number} endsAt
 * @returns {Trouble}
 */
function ofCertificate(endsAt) {
  const isOver = endsAt < Date.now();
  return {
    key: "certificate",
    tone: isOver ? "bad" : "warn",
    icon: "secret",
    title: `The certificate ${isOver ? "ran out" : "runs out"} ${ago(endsAt)}`,
    text: "Clients refuse one that is over. Put a new one in the place of its files: the gateway reads it by itself.",
    href: "/ui/health",
    act: "Look",
  };
}

/**
 * @param {any} source
 * @returns {Trouble[]}
 */
function ofSource(source) {
  const place = { href: `/ui/sources/${seg(source.name)}`, act: "Look" };
  if (source.problem)
    return [
      {
        key: `s${source.name}`,
        tone: "warn",
        icon: "source",
        title: `Source ${source.name}`,
        text: source.problem,
        ...place,
      },
    ];
  if (source.paused)
    return [
      {
        key: `s${source.name}`,
        tone: "warn",
        icon: "pause",
        title: `Source ${source.name} is paused`,
        text: "Its events are stored and call nothing.",
        ...place,
      },
    ];
  if (source.silent)
    return [
      {
        key: `s${source.name}`,
        tone: "warn",
        icon: "source",
        title: `Source ${source.name} is silent`,
        text: "It has had no event for longer than it expects.",
        ...place,
      },
    ];
  return [];
}
