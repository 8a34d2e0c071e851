// @ts-check
// The end of logs, live. It says when it follows, when it has paused, and what it has left out.
import { count, plural } from "../format.js";
import { followLogs } from "../follow-logs.js";
import { html, useEffect, useMemo, useRef, useState } from "../preact.js";
import { useSearch } from "../router.js";
import { Copy } from "./copy.js";
import { Icon } from "./icon.js";
import { Failure } from "./page.js";
import { Status } from "./status.js";
import { Time } from "./time.js";

const KEPT = 2000;
const DRAW_EVERY = 150;
const COME_BACK = 3000;

/**
 * @param {{ names: string[], text?: string, call?: string, stream?: string, instance?: string, tail?: number, empty?: unknown }} props
 *   `text` is what a line must have in it
 */
export function LogTail({ names, text = "", call, stream, instance, tail = 200, empty }) {
  const [paused, setPaused] = useState(false);
  const { lines, dropped, error, state } = useLines(names, instance, tail, paused);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const bottom = useRef(true);
  const size = useRef("");
  const wanted = text.toLowerCase();
  const shown = lines.filter(
    (line) =>
      (!call || line.callId === call) &&
      (!stream || line.stream === stream) &&
      (!wanted || line.text.toLowerCase().includes(wanted)),
  );
  useEffect(() => {
    if (bottom.current && !paused && box.current) box.current.scrollTop = box.current.scrollHeight;
  });
  useEffect(() => {
    const el = box.current;
    if (!el) return undefined;
    // A window of another size shows the end, too, although nothing has scrolled.
    const sizes = new ResizeObserver(() => {
      if (bottom.current) el.scrollTop = el.scrollHeight;
    });
    sizes.observe(el);
    return () => sizes.disconnect();
  }, []);
  const scrolled = () => {
    const el = box.current;
    if (!el) return;
    // A window of another size moves lines as well; nobody has begun to read then.
    const now = `${el.clientWidth} ${el.clientHeight}`;
    if (now !== size.current) {
      size.current = now;
      if (bottom.current) el.scrollTop = el.scrollHeight;
      return;
    }
    bottom.current = el.scrollHeight - el.scrollTop - el.clientHeight < 24;
    // Scrolling up means reading: the lines stop moving until Follow is pressed.
    if (!bottom.current && !paused) setPaused(true);
  };
  const written = () => shown.map((line) => `${plain(line)}\n`).join("");
  const resume = () => {
    bottom.current = true;
    setPaused(false);
  };
  return html`<div class="log">
    <div class="log-bar">
      ${paused ? html`<${Status} tone="warn" icon="pause">Paused<//>` : html`<${Status} tone=${state === "following" ? "ok" : "quiet"} icon=${state === "following" ? "play" : "clock"}>${state}<//>`}
      <span class="muted">
        ${call ? plural(shown.length, "line") : `${count(shown.length)} of ${plural(lines.length, "line")}`}${dropped > 0 && `, ${count(dropped)} older ones left out`}</span>
      <span class="push"><${Copy} text=${written} label="Copy the lines that are shown" />
        <button type="button" class="plain" title="Download the lines that are shown" aria-label="Download the lines that are shown" onClick=${() => save(written(), `${names.join("-")}.log`)}><${Icon} name="download" /></button>
        <button type="button" onClick=${paused ? resume : () => setPaused(true)}>
          <${Icon} name=${paused ? "play" : "pause"} />${paused ? "Follow" : "Pause"}</button></span>
    </div>
    <${Failure} error=${error} />
    <div class=${`log-lines${names.length > 1 ? " is-many" : ""}`} ref=${box} onScroll=${scrolled} tabindex="0" role="log" aria-live="off" aria-label=${`Log of ${names.join(", ")}`}>
      ${
        shown.length === 0
          ? html`<p class="log-empty">
        ${lines.length && !(call && !wanted) ? "No line fits." : (empty ?? "No lines yet. They appear here as the function writes them.")}</p>`
          : shown.map((line) => html`<${Line} key=${line.id} line=${line} many=${names.length > 1} />`)
      }
    </div>
  </div>`;
}

/** A choice of what functions write where, kept in the address. */
export function StreamChoice() {
  const [stream, setStream] = useSearch("stream");
  return html`<label class="inline"><span class="sr-only">Written to</span>
    <select value=${stream} onChange=${(/** @type {any} */ e) => setStream(e.target.value)}>
    ${[
      ["", "Any stream"],
      ["stdout", "stdout"],
      ["stderr", "stderr"],
    ].map(
      ([value, title]) => html`<option key=${value} value=${value} selected=${value === stream}>${title}</option>`,
    )}</select></label>`;
}

/** @param {{ line: import("../follow-logs.js").LogLine, many: boolean }} props */
function Line({ line, many }) {
  // Of thousands of lines, few are new.
  return useMemo(
    () => html`<div class="log-line"><${Time} at=${line.timestamp} exact=${true} />
    <span class="log-from" title=${line.name}>${many ? line.instance : line.instance.replace(`${line.name}-`, "#")}
    </span>
    <span class="log-text">
      ${line.text}${
        line.callId &&
        html` <a class="log-call" href=${`/ui/calls/${line.callId}`}>${line.callId}
      </a>`
      }</span></div>`,
    [line, many],
  );
}

/**
 * Downloads a text.
 * @param {string} text
 * @param {string} name of the file
 */
function save(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** @param {import("../follow-logs.js").LogLine} line */
const plain = (line) => `${line.timestamp} ${line.instance} ${line.text}`;

/**
 * @param {string[]} names
 * @param {string | undefined} instance
 * @param {number} tail
 * @param {boolean} paused what comes meanwhile is kept, and shown afterwards
 */
function useLines(names, instance, tail, paused) {
  const [state, setState] = useState("connecting");
  const [error, setError] = useState(/** @type {Error | undefined} */ (undefined));
  const [shown, setShown] = useState({ lines: /** @type {import("../follow-logs.js").LogLine[]} */ ([]), dropped: 0 });
  const kept = useRef(shown);
  const hold = useRef(paused);
  hold.current = paused;
  useEffect(() => {
    if (!paused) setShown(kept.current);
  }, [paused]);
  useEffect(() => {
    const abort = new AbortController();
    kept.current = { lines: [], dropped: 0 };
    setShown(kept.current);
    let drawing = 0;
    const take = (/** @type {import("../follow-logs.js").LogLine[]} */ lines) => {
      const all = [...kept.current.lines, ...lines].sort((a, b) =>
        a.order < b.order ? -1 : a.order > b.order ? 1 : a.id - b.id,
      );
      const over = Math.max(all.length - KEPT, 0);
      kept.current = { lines: over ? all.slice(over) : all, dropped: kept.current.dropped + over };
      if (!drawing) {
        drawing = setTimeout(() => {
          drawing = 0;
          if (!hold.current) setShown(kept.current);
        }, DRAW_EVERY);
      }
    };
    void keepFollowing({ name: names.join(), instance, tail }, abort.signal, take, setState, setError);
    return () => {
      abort.abort();
      clearTimeout(drawing);
    };
  }, [names.join(), instance, tail]);
  return { ...shown, error, state };
}

/** Resolves when somebody can see the page. */
const whenShown = () =>
  new Promise((done) => {
    const look = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", look);
      done(undefined);
    };
    document.addEventListener("visibilitychange", look);
    look();
  });

/**
 * A signal that aborts with another one, or when the tab is hidden: browsers have few connections.
 * @param {AbortSignal} signal
 */
function whileShown(signal) {
  const abort = new AbortController();
  const hidden = () => document.hidden && abort.abort();
  document.addEventListener("visibilitychange", hidden, { signal: abort.signal });
  signal.addEventListener("abort", () => abort.abort(), { signal: abort.signal });
  return abort.signal;
}

/**
 * Follows functions while the tab is shown, and comes back when the stream breaks off.
 * @param {{ name: string, instance?: string, tail?: number, since?: string }} wanted
 * @param {AbortSignal} signal
 * @param {(lines: import("../follow-logs.js").LogLine[]) => void} take
 * @param {(state: string) => void} setState
 * @param {(error: Error | undefined) => void} setError
 */
async function keepFollowing(wanted, signal, take, setState, setError) {
  let last = { order: "", timestamp: "" };
  /** @type {Set<string>} the lines of that time, which come once more after a break */
  let edge = new Set();
  while (!signal.aborted) {
    await whenShown();
    const visit = whileShown(signal);
    const known = new Set(edge);
    const { name, instance } = wanted;
    try {
      setState("following");
      await followLogs(last.timestamp ? { name, instance, since: last.timestamp } : wanted, visit, (lines) => {
        for (const line of lines) {
          if (line.order > last.order) [last, edge] = [line, new Set()];
          if (line.order === last.order) edge.add(plain(line));
        }
        const fresh = lines.filter((line) => !known.delete(plain(line)));
        setError(undefined);
        if (fresh.length) take(fresh);
      });
    } catch (why) {
      if (signal.aborted) return;
      if (visit.aborted) continue;
      setError(/** @type {Error} */ (why));
    }
    setState("connecting");
    await new Promise((done) => setTimeout(done, COME_BACK));
  }
}
