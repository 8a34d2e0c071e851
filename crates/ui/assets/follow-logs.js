// @ts-check
// Follows the logs of functions: lines of JSON that do not end.
import { address, ApiError } from "./api.js";

/**
 * @typedef {object} LogLine
 * @property {number} id counts up, in the order of arrival
 * @property {string} name
 * @property {string} instance
 * @property {string} timestamp
 * @property {string} text
 * @property {string} [callId]
 * @property {string} [stream] `stdout` or `stderr`; none of lines of the watchdog
 * @property {string} order its time in a form that sorts: as they come, times have as many digits as they need
 */

let ids = 0;

/**
 * Follows `name`, one function or several with commas between. It hands over lines in groups as they arrive, until `signal` aborts or the stream ends; the promise ends with it.
 * @param {{ name: string, tail?: number, instance?: string, since?: string }} wanted
 * @param {AbortSignal} signal
 * @param {(lines: LogLine[]) => void} take
 */
export async function followLogs(wanted, signal, take) {
  const answer = await fetch(address("/system/logs", { ...wanted, follow: "true" }), { signal });
  if (!answer.ok || !answer.body) {
    throw new ApiError(answer.status, answer.headers.get("X-Skep-Error") ?? "", (await answer.text()).trim());
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop() ?? "";
    const lines = parts.filter(Boolean).map(line);
    if (lines.length > 0) take(lines);
  }
}

/**
 * @param {string} json
 * @returns {LogLine}
 */
function line(json) {
  ids += 1;
  try {
    const said = JSON.parse(json);
    return { ...said, id: ids, order: orderOf(said.timestamp) };
  } catch {
    return { id: ids, name: "", instance: "", timestamp: "", text: json, order: "" };
  }
}

/** @param {string} timestamp in UTC */
function orderOf(timestamp) {
  const plain = timestamp.replace("Z", "");
  return (plain.includes(".") ? plain : `${plain}.`).padEnd(30, "0");
}
