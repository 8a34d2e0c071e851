// @ts-check
// The commands that do the same as the UI.
import { address } from "./api.js";

/**
 * A word as a shell takes it.
 * @param {string} word
 */
export function quote(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * A command of words; empty ones are left out.
 * @param {(string | number | undefined | false)[]} words
 */
export function words(...words) {
  return words
    .filter((word) => word !== undefined && word !== false && word !== "")
    .map((word) => quote(String(word)))
    .join(" ");
}

/**
 * A line with curl commands as somebody has to write it who logs in; curl asks for the password.
 * @param {string} line
 * @param {string} user empty where nobody has to log in
 */
export const asUser = (line, user) =>
  user ? line.replaceAll(/(^|; do |-I ID )curl /g, (_, before) => `${before}curl -u ${quote(user)} `) : line;

/**
 * An option with its value. One that begins with a hyphen is not to be taken for another option.
 * @param {string} name
 * @param {string | number | undefined} value none without one
 */
export function option(name, value) {
  if (value === undefined || value === "") return [];
  return String(value).startsWith("-") ? [`${name}=${value}`] : [name, value];
}

/**
 * A command that reads a value as JSON.
 * @param {unknown} json
 * @param {...(string | undefined | false)} command
 */
export const reading = (json, ...command) => `${words("echo", JSON.stringify(json))} | ${words(...command)}`;

/**
 * A curl command for each of some ids; `path` is that of one.
 * @param {string} method
 * @param {string[]} ids
 * @param {(id: string) => string} path
 */
export function curlEach(method, ids, path) {
  if (ids.length === 1) return curl(method, path(ids[0]));
  const each = curl(method, path("ID"))
    .replace(/'([^']*)'$/, '"$1"')
    .replace("ID", () => "$id");
  return `for id in ${words(...ids)}; do ${each}; done`;
}

/**
 * A curl command for a request.
 * @param {string} method
 * @param {string} path
 * @param {{ query?: Record<string, string | number | undefined>, json?: unknown, text?: string, file?: string, headers?: Record<string, string> }} [request]
 */
export function curl(method, path, request = {}) {
  const { query, json, file, headers = {} } = request;
  const text = json === undefined ? request.text : JSON.stringify(json);
  const usual = text === undefined && file === undefined ? "GET" : "POST";
  const parts = ["curl"];
  if (method === "HEAD") parts.push("-I");
  else if (method !== usual) parts.push("-X", method);
  for (const [name, value] of Object.entries(headers)) parts.push("-H", quote(`${name}: ${value}`));
  // What begins with @ is the name of a file for -d.
  if (file !== undefined) parts.push("--data-binary", quote(`@${file}`));
  else if (text !== undefined) parts.push(text.startsWith("@") ? "--data-raw" : "-d", quote(text));
  parts.push(quote(location.origin + address(path, query)));
  return parts.join(" ");
}
