// @ts-check
// Calls: their states, and following one.
import { get, seg } from "./api.js";
import { useEffect, useState } from "./preact.js";
import { useLoad, useShown } from "./use.js";

export const OPEN = ["scheduled", "queued", "running", "retrying"];
export const ENDED = ["succeeded", "failed", "dead", "cancelled"];

/**
 * Whether a call has not ended.
 * @param {{ state: string }} call
 */
export const isOpen = (call) => OPEN.includes(call.state);

/**
 * Presets of the list of calls: key, title, states.
 * @type {[string, string, string[]][]}
 */
export const PRESETS = [
  ["", "All", []],
  ["open", "Under way", OPEN],
  ["waiting", "Waiting", ["scheduled", "queued"]],
  ["trouble", "In trouble", ["retrying", "failed", "dead"]],
  ["dead", "Dead", ["dead"]],
  ["succeeded", "Succeeded", ["succeeded"]],
];

/**
 * One call, live: it is asked for again with each step that the gateway reports, and every two seconds until it has ended.
 * @param {string} id
 */
export function useCall(id) {
  const [open, setOpen] = useState(true);
  const loaded = useLoad((signal) => get(`/system/calls/${seg(id)}`, {}, signal), [id], open ? 2000 : 0);
  const waits = loaded.data && (isOpen(loaded.data) || awaitsCallback(loaded.data));
  useEffect(() => {
    if (loaded.data) setOpen(waits);
  }, [loaded.data, waits]);
  const shown = useShown();
  const follows = shown && waits && isOpen(loaded.data);
  useEffect(() => {
    if (!follows) return;
    const source = new EventSource(`/system/calls/${seg(id)}/events`);
    for (const step of ["started", "retrying", ...ENDED]) source.addEventListener(step, loaded.reload);
    // It ends with the call; if it breaks off, asking every two seconds is enough.
    source.addEventListener("error", () => source.close());
    return () => source.close();
  }, [id, follows]);
  return loaded;
}

/**
 * Whether a callback is still on its way.
 * @param {any} call
 */
function awaitsCallback(call) {
  const last = call.timeline?.[call.timeline.length - 1];
  return Boolean(call.callbackUrl) && last?.event === "undelivered";
}
