// @ts-check
// Requests to the gateway. The UI uses the public API and nothing else.

/** An answer that is no success, with the line of text that the API gives. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 if the gateway has not answered
   * @param {string} code the answer's `X-Skep-Error`
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }
}

/**
 * @typedef {object} Options
 * @property {Record<string, string | number | undefined>} [query] empty values are left out
 * @property {unknown} [json] a body to send as JSON
 * @property {BodyInit} [body] a body to send as it is
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 */

/**
 * A path with its query.
 * @param {string} path
 * @param {Options["query"]} [query]
 */
export function address(path, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  if (pairs.length === 0) return path;
  return `${path}?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}`;
}

/**
 * Sends a request and returns the answer, whatever its status is.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 */
export async function send(method, path, options = {}) {
  const { query, json, body, headers = {}, signal } = options;
  try {
    return await fetch(address(path, query), {
      method,
      headers: json === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: json === undefined ? body : JSON.stringify(json),
      signal,
      redirect: "manual",
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "gateway_away", "The gateway does not answer.");
  }
}

/**
 * Sends a request and returns its JSON, or what else it is as text; an error status throws.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 */
export async function call(method, path, options = {}) {
  const answer = await send(method, path, options);
  const text = await answer.text();
  if (!answer.ok) {
    throw new ApiError(answer.status, answer.headers.get("X-Skep-Error") ?? "", text.trim() || answer.statusText);
  }
  return { data: parse(text), headers: answer.headers, status: answer.status };
}

/**
 * The JSON of a GET.
 * @param {string} path
 * @param {Options["query"]} [query]
 * @param {AbortSignal} [signal]
 */
export async function get(path, query, signal) {
  return (await call("GET", path, { query, signal })).data;
}

/** @param {string} text */
function parse(text) {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * A part of a path.
 * @param {string} name
 */
export const seg = (name) => encodeURIComponent(name);
