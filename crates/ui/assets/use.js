// @ts-check
// Hooks that all pages share.
import { useCallback, useEffect, useRef, useState } from "./preact.js";

/**
 * @template T
 * @typedef {object} Loaded
 * @property {T | undefined} data the last answer; it stays while the next one loads
 * @property {Error | undefined} error why the last request failed
 * @property {boolean} loading whether there is no answer yet
 * @property {() => void} reload
 */

/**
 * Loads something, again when `deps` change, and every `every` milliseconds while the page is visible.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {unknown[]} deps
 * @param {number} [every] 0 for once
 * @returns {Loaded<T>}
 */
export function useLoad(load, deps, every = 0) {
  const [state, setState] = useState(/** @type {{ key: string, data?: T, error?: Error }} */ ({ key: "" }));
  const [turn, setTurn] = useState(0);
  const key = JSON.stringify(deps);
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    let due = true;
    const once = async () => {
      // A tab that is hidden loads when it is shown.
      if (!due || document.hidden) return;
      due = false;
      try {
        const data = await load(abort.signal);
        if (!abort.signal.aborted) setState({ key, data });
      } catch (error) {
        if (abort.signal.aborted) return;
        setState((old) => ({
          key,
          data: old.key === key ? old.data : undefined,
          error: /** @type {Error} */ (error),
        }));
      }
      if (every && !abort.signal.aborted) timer = setTimeout(again, every);
    };
    const again = () => {
      due = true;
      void once();
    };
    void once();
    document.addEventListener("visibilitychange", once);
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", once);
    };
  }, [key, every, turn]);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  const current = state.key === key;
  return {
    data: current ? state.data : undefined,
    error: current ? state.error : undefined,
    loading: !current,
    reload,
  };
}

/** Whether somebody can see the page, and a new render when that changes. */
export function useShown() {
  const [shown, setShown] = useState(!document.hidden);
  useEffect(() => {
    const changed = () => setShown(!document.hidden);
    document.addEventListener("visibilitychange", changed);
    return () => document.removeEventListener("visibilitychange", changed);
  }, []);
  return shown;
}

/** @type {Map<number, Set<() => void>>} what renders again at each interval; one timer for all of them */
const ticking = new Map();

/**
 * A new render every `ms` milliseconds, for what depends on the time.
 * @param {number} ms
 */
export function useTick(ms) {
  const [, again] = useState(0);
  useEffect(() => {
    const tick = () => again((n) => n + 1);
    const all = ticking.get(ms) ?? begin(ms);
    all.add(tick);
    return () => void all.delete(tick);
  }, [ms]);
}

/** @param {number} ms */
function begin(ms) {
  /** @type {Set<() => void>} */
  const all = new Set();
  ticking.set(ms, all);
  setInterval(() => document.hidden || all.forEach((tick) => tick()), ms);
  return all;
}

/**
 * Runs an act of the reader: `[run, busy]`. It cannot run twice at once.
 * @template {unknown[]} A
 * @param {(...args: A) => Promise<void>} act
 * @returns {[(...args: A) => Promise<void>, boolean]}
 */
export function useAct(act) {
  const [busy, setBusy] = useState(false);
  const running = useRef(false);
  const run = async (/** @type {A} */ ...args) => {
    if (running.current) return;
    running.current = true;
    setBusy(true);
    try {
      await act(...args);
    } finally {
      running.current = false;
      setBusy(false);
    }
  };
  return [run, busy];
}
