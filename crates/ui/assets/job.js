// @ts-check
// Something that is done with many things, one part after the other: with its progress, at a rate, until it is stopped.
import { useEffect, useState } from "./preact.js";

/** @typedef {{ id: string, reason: string }} Refusal */

/**
 * @template P
 */
export class Job {
  /**
   * @param {P[]} parts
   * @param {(part: P) => Promise<{ done: number, refused: Refusal[] }>} act what is done with each part
   * @param {{ total: number, rate?: number }} how many things there are in all parts, and how many parts a second to do at most
   */
  constructor(parts, act, { total, rate = 0 }) {
    this.parts = parts;
    this.act = act;
    this.total = total;
    this.pause = rate > 0 ? 1000 / rate : 0;
    this.done = 0;
    /** @type {Refusal[]} */
    this.refused = [];
    this.error = "";
    this.running = false;
    this.stopped = false;
  }

  get at() {
    return this.done + this.refused.length;
  }

  /** @param {() => void} changed */
  async run(changed) {
    this.running = true;
    let due = Date.now();
    for (const part of this.parts) {
      if (this.stopped) break;
      if (due > Date.now()) await new Promise((go) => setTimeout(go, due - Date.now()));
      due = Math.max(due, Date.now() - 1000) + this.pause;
      try {
        const { done, refused } = await this.act(part);
        this.done += done;
        this.refused.push(...refused);
      } catch (error) {
        this.error = /** @type {Error} */ (error).message;
        this.stopped = true;
      }
      changed();
    }
    this.running = false;
    changed();
  }
}

/**
 * Does one thing, so that an error is a refusal and not the end of the job.
 * @param {string} id
 * @param {() => Promise<unknown>} act
 */
export async function one(id, act) {
  try {
    await act();
    return { done: 1, refused: [] };
  } catch (error) {
    return { done: 0, refused: [{ id, reason: /** @type {Error} */ (error).message }] };
  }
}

/** A job of a page. It stops when the page is left. */
export function useJob() {
  const [current, setCurrent] = useState(/** @type {Job<any> | null} */ (null));
  const [, again] = useState(0);
  useEffect(
    () => () => {
      if (current) current.stopped = true;
    },
    [current],
  );
  return {
    current,
    start: (/** @type {Job<any>} */ job) => {
      setCurrent(job);
      void job.run(() => again((n) => n + 1));
    },
    stop: () => {
      if (current) current.stopped = true;
      again((n) => n + 1);
    },
  };
}
