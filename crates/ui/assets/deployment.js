// @ts-check
// A function's deployment as a form has it, and what differs between two.
import { option, words } from "./command.js";

/** @typedef {Record<string, any>} Deployment as the API has it */

/**
 * @typedef {object} Form
 * @property {string} service
 * @property {string} namespace
 * @property {string} envProcess
 * @property {string} image
 * @property {string} envVars lines of NAME=VALUE
 * @property {string} labels
 * @property {string} annotations
 * @property {string} secrets a name each line
 * @property {string} memory
 * @property {string} cpu
 */

/** @type {Form} */
export const BLANK = {
  service: "",
  namespace: "",
  envProcess: "",
  image: "",
  envVars: "",
  labels: "",
  annotations: "",
  secrets: "",
  memory: "",
  cpu: "",
};

/**
 * @param {Deployment} deployment
 * @returns {Form}
 */
export function toForm(deployment) {
  return {
    service: deployment.service ?? "",
    namespace: deployment.namespace ?? "",
    envProcess: deployment.envProcess ?? "",
    image: deployment.image ?? "",
    envVars: toLines(deployment.envVars),
    labels: toLines(deployment.labels),
    annotations: toLines(deployment.annotations),
    secrets: (deployment.secrets ?? []).join("\n"),
    memory: deployment.limits?.memory ?? "",
    cpu: deployment.limits?.cpu ?? "",
  };
}

/**
 * The deployment of a form. What the form does not show stays as `base` has it. Throws what is wrong with a line.
 * @param {Form} form
 * @param {Deployment} [base]
 * @returns {Deployment}
 */
export function fromForm(form, base = {}) {
  const limits = { ...base.limits, memory: form.memory.trim() || undefined, cpu: form.cpu.trim() || undefined };
  const secrets = form.secrets
    .split("\n")
    .map((name) => name.trim())
    .filter(Boolean);
  return prune({
    ...base,
    service: form.service.trim(),
    namespace: form.namespace.trim(),
    envProcess: form.envProcess.trim(),
    image: form.image.trim(),
    envVars: fromLines(form.envVars, "variable"),
    labels: fromLines(form.labels, "label"),
    annotations: fromLines(form.annotations, "annotation"),
    secrets,
    limits,
  });
}

/** @param {Record<string, string> | null | undefined} map */
const toLines = (map) =>
  Object.entries(map ?? {})
    .map(([name, value]) => `${name}=${value.replaceAll("\n", "\\n")}`)
    .join("\n");

/**
 * @param {string} text
 * @param {string} kind
 */
function fromLines(text, kind) {
  /** @type {Record<string, string>} */
  const map = {};
  for (const line of text.split("\n")) {
    if (!line.trim()) continue;
    const equals = line.indexOf("=");
    const name = line.slice(0, Math.max(equals, 0)).trim();
    if (!name) throw new Error(`“${line.trim()}” is no ${kind}: write NAME=VALUE, one a line.`);
    map[name] = line.slice(equals + 1).replaceAll("\\n", "\n");
  }
  return map;
}

/**
 * Without what is empty.
 * @param {Deployment} deployment
 */
function prune(deployment) {
  const full = Object.entries(deployment).map(([name, value]) => [name, isMap(value) ? prune(value) : value]);
  return Object.fromEntries(full.filter(([, value]) => !isEmpty(value)));
}

/** @param {any} value */
const isMap = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** @param {any} value */
const isEmpty = (value) =>
  value === undefined ||
  value === null ||
  value === "" ||
  (typeof value === "object" && Object.keys(value).length === 0);

/** What `skep deploy` has options for. */
const OPTIONS = ["service", "namespace", "envProcess", "image", "envVars", "labels", "annotations", "secrets"];

/**
 * The command that deploys the same; empty if it has no option for a setting.
 * @param {Deployment} deployment
 * @param {{ note?: string, canary?: string }} more
 */
export function deployCommand(deployment, { note, canary }) {
  const full = prune(deployment);
  if (Object.keys(full).some((name) => !OPTIONS.includes(name))) return "";
  const pairs = (/** @type {string} */ name, /** @type {Record<string, string>} */ map) =>
    Object.entries(map ?? {}).flatMap(([key, value]) => [name, `${key}=${value}`]);
  return words(
    "skep",
    "deploy",
    full.namespace ? `${full.service}.${full.namespace}` : (full.service ?? "NAME"),
    ...option("--command", full.envProcess),
    ...option("--image", full.image),
    ...pairs("--env", full.envVars),
    ...pairs("--label", full.labels),
    ...pairs("--annotation", full.annotations),
    ...(full.secrets ?? []).flatMap((/** @type {string} */ secret) => ["--secret", secret]),
    ...option("--note", note),
    ...option("--canary", canary),
  );
}

/** @type {Record<string, string>} */
const NAMES = {
  envProcess: "command",
  envVars: "environment",
  labels: "label",
  annotations: "annotation",
  secrets: "secrets",
};

/**
 * @typedef {object} Change
 * @property {string} setting
 * @property {string | undefined} before
 * @property {string | undefined} after
 */

/**
 * In which settings two deployments differ.
 * @param {Deployment} before
 * @param {Deployment} after
 * @returns {Change[]}
 */
export function changes(before, after) {
  const [old, next] = [settings(prune(before)), settings(prune(after))];
  const names = [...new Set([...old.keys(), ...next.keys()])].sort();
  return names
    .map((setting) => ({ setting, before: old.get(setting), after: next.get(setting) }))
    .filter((change) => change.before !== change.after);
}

/**
 * Each setting by its name; those of a map one by one.
 * @param {Deployment} deployment
 * @returns {Map<string, string>}
 */
function settings(deployment) {
  /** @type {Map<string, string>} */
  const all = new Map();
  for (const [name, value] of Object.entries(deployment)) {
    const title = NAMES[name] ?? name;
    if (isMap(value)) for (const [key, inner] of Object.entries(value)) all.set(`${title} ${key}`, String(inner));
    else all.set(title, Array.isArray(value) ? value.join(", ") : String(value));
  }
  return all;
}
