// @ts-check
// Figures and times in the form that people read.

const NONE = "–";

/**
 * A count: 1,234, from ten thousand on 12.3k.
 * @param {number | undefined | null} n
 */
export function count(n) {
  if (n === undefined || n === null || Number.isNaN(n)) return NONE;
  if (n < 10_000) return Math.round(n).toLocaleString("en");
  if (n < 999_500) return `${(n / 1000).toFixed(n < 99_950 ? 1 : 0)}k`;
  return `${(n / 1_000_000).toFixed(1)}M`;
}

/**
 * A rate per second.
 * @param {number | undefined | null} n
 */
export function rate(n) {
  if (n === undefined || n === null || Number.isNaN(n)) return NONE;
  if (n === 0) return "0";
  return n < 9.95 ? n.toFixed(1) : count(n);
}

/**
 * A part of a whole.
 * @param {number | undefined | null} part
 */
export function percent(part) {
  if (part === undefined || part === null || Number.isNaN(part)) return NONE;
  if (part === 0) return "0 %";
  const n = part * 100;
  return n < 0.1 ? "< 0.1 %" : `${n < 9.95 ? n.toFixed(1) : Math.round(n)} %`;
}

/**
 * A duration.
 * @param {number | undefined | null} seconds
 */
export function duration(seconds) {
  if (seconds === undefined || seconds === null || Number.isNaN(seconds)) return NONE;
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return "< 1 ms";
  if (seconds < 0.9995) return `${seconds < 0.00995 ? (seconds * 1000).toFixed(1) : Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  return long(Math.round(seconds));
}

/** @param {number} s whole seconds, a minute or more */
function long(s) {
  if (s < 3600) return two(s / 60, "min", s % 60, "s");
  if (s < 86_400) return two(s / 3600, "h", (s % 3600) / 60, "min");
  return two(s / 86_400, "d", (s % 86_400) / 3600, "h");
}

/**
 * @param {number} a
 * @param {string} unit
 * @param {number} b
 * @param {string} lesser
 */
function two(a, unit, b, lesser) {
  const rest = Math.floor(b);
  return `${Math.floor(a)} ${unit}${rest ? ` ${rest} ${lesser}` : ""}`;
}

/**
 * How long ago, or until when.
 * @param {number} then milliseconds
 * @param {number} [now]
 */
export function ago(then, now = Date.now()) {
  const s = (now - then) / 1000;
  if (Math.abs(s) < 1.5) return "now";
  const text = rough(Math.abs(s));
  return s > 0 ? `${text} ago` : `in ${text}`;
}

/** @param {number} s */
function rough(s) {
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

/**
 * A size.
 * @param {number | undefined | null} n bytes
 */
export function bytes(n) {
  if (n === undefined || n === null) return NONE;
  if (n < 1024) return `${n} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let unit = -1;
  do {
    n /= 1024;
    unit += 1;
  } while (n >= 1024 && unit < units.length - 1);
  return `${n < 9.95 ? n.toFixed(1) : Math.round(n)} ${units[unit]}`;
}

/**
 * "1 call", "2 calls".
 * @param {number} n
 * @param {string} one
 * @param {string} [many]
 */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/**
 * A time of this machine's clock with milliseconds.
 * @param {number} ms
 */
export function clock(ms) {
  const at = new Date(ms);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}
