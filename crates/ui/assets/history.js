// @ts-check
// The figures of the last 15 minutes, for charts. What was before the UI was opened comes from the gateway.

const POINTS = 450;
const APART = 1900;
const FUNCTIONS = 500;
const LEAST = 120;
const MOST = 900;
export const SERIES = /** @type {const} */ (["rate", "errors", "mean", "p50", "p95", "inFlight", "waiting", "age"]);

/** @typedef {(typeof SERIES)[number]} Series */

class Ring {
  constructor() {
    this.values = new Float32Array(POINTS * SERIES.length).fill(NaN);
  }

  /**
   * @param {number} place
   * @param {Partial<Record<Series, number>>} row
   */
  set(place, row) {
    const begin = place * SERIES.length;
    for (let i = 0; i < SERIES.length; i += 1) this.values[begin + i] = row[SERIES[i]] ?? NaN;
  }
}

/**
 * Figures of two seconds: calls in both count. Of the others the later ones do, or the first ones if there are no later ones.
 * @param {Partial<Record<Series, number>> | undefined} first
 * @param {Partial<Record<Series, number>>} second
 */
function mean(first, second) {
  if (!first) return second;
  const [a, b] = [first.rate ?? 0, second.rate ?? 0];
  const errors = a + b > 0 ? ((first.errors ?? 0) * a + (second.errors ?? 0) * b) / (a + b) : undefined;
  const { p50 = first.p50, p95 = first.p95 } = second;
  return { ...second, rate: (a + b) / 2, errors, p50, p95 };
}

export class History {
  constructor() {
    this.times = new Float64Array(POINTS);
    this.length = 0;
    this.next = 0;
    this.version = 0;
    /** @type {{ rows: import("./stats-rows.js").Row[], sums: Partial<Record<Series, number>> } | null} a second between two points */
    this.between = null;
    /** @type {Map<string, Ring>} */
    this.rings = new Map();
    /** @type {Set<string>} */
    this.seeded = new Set();
  }

  /**
   * Puts in what the gateway knows of the time before, once for each name.
   * @param {string} name
   * @param {any} past columns of `/system/stats/history`
   */
  seed(name, past) {
    if (this.seeded.has(name)) return;
    this.seeded.add(name);
    this.version += 1;
    this.begin(past.at);
    const ring = this.ring(name);
    for (const [i, at] of past.at.entries()) {
      const place = this.placeOf(at * 1000);
      if (place >= 0)
        ring?.set(place, Object.fromEntries(SERIES.map((series) => [series, past[series][i] ?? undefined])));
    }
  }

  /**
   * Adds times before the first one.
   * @param {number[]} times in seconds
   */
  begin(times) {
    const first = this.length ? this.times[(this.next + POINTS - this.length) % POINTS] - APART / 2 : Infinity;
    const before = times.filter((time) => time * 1000 < first);
    for (let at = before.pop(); at !== undefined && this.length < POINTS; at = before.pop()) {
      this.length += 1;
      this.times[(this.next + POINTS - this.length) % POINTS] = at * 1000;
    }
  }

  /** @param {number} at */
  placeOf(at) {
    for (let i = 1; i <= this.length; i += 1) {
      const place = (this.next + POINTS - i) % POINTS;
      if (Math.abs(this.times[place] - at) < APART / 2) return place;
    }
    return -1;
  }

  /**
   * @param {number} at milliseconds
   * @param {import("./stats-rows.js").Row[]} rows
   * @param {Partial<Record<Series, number>>} sums of all rows
   */
  add(at, rows, sums) {
    const last = this.times[(this.next + POINTS - 1) % POINTS];
    if (this.length && at - last < APART) {
      this.between = { rows, sums };
      return;
    }
    const before = new Map(this.between?.rows.map((row) => [row.name, row]));
    const place = this.next;
    this.version += 1;
    this.times[place] = at;
    this.next = (place + 1) % POINTS;
    this.length = Math.min(this.length + 1, POINTS);
    for (const ring of this.rings.values()) ring.set(place, {});
    this.ring("")?.set(place, mean(this.between?.sums, sums));
    for (const row of rows) this.ring(row.name)?.set(place, mean(before.get(row.name), row));
    this.between = null;
  }

  /** How many seconds charts show: what there is, from two minutes to fifteen. */
  span() {
    const first = this.times[(this.next - this.length + POINTS) % POINTS];
    const last = this.times[(this.next - 1 + POINTS) % POINTS];
    return Math.min(Math.max((last - first) / 1000, LEAST), MOST);
  }

  /**
   * The greatest values of a series in equal parts of the time that charts show.
   * @param {string} name
   * @param {Series} series
   * @param {number} parts
   */
  peaks(name, series, parts) {
    const found = new Float32Array(parts).fill(NaN);
    const values = this.rings.get(name)?.values;
    if (!values || this.length === 0) return found;
    const which = SERIES.indexOf(series);
    const span = this.span() * 1000;
    const begin = this.times[(this.next - 1 + POINTS) % POINTS] - span;
    for (let i = 0; i < this.length; i += 1) {
      const place = (this.next - this.length + i + POINTS) % POINTS;
      const value = values[place * SERIES.length + which];
      const part = Math.round(((this.times[place] - begin) / span) * (parts - 1));
      if (part >= 0 && !Number.isNaN(value) && !(value <= found[part])) found[part] = value;
    }
    return found;
  }

  /** @param {string} name */
  ring(name) {
    let ring = this.rings.get(name);
    if (!ring && this.rings.size < FUNCTIONS) {
      ring = new Ring();
      this.rings.set(name, ring);
    }
    return ring;
  }

  /**
   * Times in seconds and the values of some series, the oldest first.
   * @param {string} name a function, or "" for all together
   * @param {readonly Series[]} series
   * @returns {(number | null)[][]}
   */
  read(name, series) {
    const ring = this.rings.get(name);
    const columns = [/** @type {(number | null)[]} */ ([]), ...series.map(() => /** @type {(number | null)[]} */ ([]))];
    for (let i = 0; i < this.length; i += 1) {
      const place = (this.next - this.length + i + POINTS) % POINTS;
      columns[0].push(this.times[place] / 1000);
      for (const [j, wanted] of series.entries()) {
        const value = ring ? ring.values[place * SERIES.length + SERIES.indexOf(wanted)] : NaN;
        columns[j + 1].push(Number.isNaN(value) ? null : value);
      }
    }
    return columns;
  }
}
