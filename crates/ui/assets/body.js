// @ts-check
// Bodies of requests and answers. They are foreign: they are shown as text and never as anything else.

const SHOWN = 64 * 1024;

/**
 * @typedef {object} View
 * @property {"text" | "json" | "hex" | "empty"} kind
 * @property {string} text what is shown
 * @property {string} [raw] JSON as it came
 * @property {number} size of all of it, in bytes
 * @property {boolean} cut whether more of it is left out
 */

/**
 * What to show of a body.
 * @param {Uint8Array} bytes
 * @param {string} [type] its `Content-Type`
 * @returns {View}
 */
export function view(bytes, type = "") {
  const size = bytes.length;
  const cut = size > SHOWN;
  if (size === 0) return { kind: "empty", text: "", size, cut: false };
  const text = utf8(bytes.subarray(0, SHOWN), cut);
  if (text === null) return { kind: "hex", text: hex(bytes.subarray(0, SHOWN / 16)), size, cut: size > SHOWN / 16 };
  if (!cut && (type.includes("json") || /^\s*[[{]/.test(text))) {
    try {
      return { kind: "json", text: JSON.stringify(JSON.parse(text), null, 2), raw: text, size, cut };
    } catch {
      // It only looks like JSON.
    }
  }
  return { kind: "text", text, size, cut };
}

/**
 * @param {Uint8Array} bytes
 * @param {boolean} cut a character at the end may be incomplete
 */
function utf8(bytes, cut) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: cut });
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}

/**
 * Bytes as a hex dump of 16 a line.
 * @param {Uint8Array} bytes
 */
export function hex(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const line = [...bytes.subarray(at, at + 16)];
    const digits = line.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = line.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${digits.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}

/**
 * Reads a body up to some bytes more than are kept; the rest is not loaded.
 * @param {Response} answer
 * @param {number} most
 */
export async function read(answer, most = 1 << 20) {
  const reader = answer.body?.getReader();
  /** @type {Uint8Array[]} */
  const parts = [];
  let size = 0;
  let whole = true;
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    if (size > most) {
      whole = false;
      await reader.cancel();
      break;
    }
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { bytes, whole };
}

/**
 * Bytes of base64.
 * @param {string} text
 */
export const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
