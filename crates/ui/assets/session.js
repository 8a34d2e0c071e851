// @ts-check
// Who uses the UI, and what the installation is.
import { get } from "./api.js";
import { useEffect, useState } from "./preact.js";

/** @type {Promise<any> | null} */
let asked = null;
/** @type {any} */
let known = null;

/** What `/system/info` says; null if it cannot be asked. */
export function loadInfo() {
  asked ??= get("/system/info").catch(() => {
    asked = null;
    return null;
  });
  return asked.then((answer) => (known = answer));
}

/** What `/system/info` says, or undefined until it is there. */
export function useInfo() {
  const [info, setInfo] = useState(known);
  useEffect(() => void loadInfo().then(setInfo), []);
  return info ?? undefined;
}

/** The user to log in as, such as `admin`; empty where nobody has to. The password of any user may be a token. */
export const useLogin = () => /^(?:user|token) (.+)/.exec(useInfo()?.caller?.name ?? "")?.[1] ?? "";

/** @param {any} info @returns {string[]} */
const limitsOf = (info) => info?.caller?.namespaces ?? [];

/** The namespaces that the reader is limited to; empty for all, and undefined until it is known. */
export function useLimits() {
  const [limits, setLimits] = useState(known ? limitsOf(known) : undefined);
  useEffect(() => void loadInfo().then((info) => setLimits(limitsOf(info))), []);
  return limits;
}

const ROLES = ["read", "invoke", "deploy", "admin"];

/**
 * Why the reader may not do something; empty if they may, as far as is known. The API decides in any case.
 * @param {"invoke" | "deploy" | "admin"} role that it takes
 */
export function useDenied(role) {
  const info = useInfo();
  if (info?.ui === "read") return "This UI only shows things (--ui read).";
  const has = ROLES.indexOf(info?.caller?.role ?? "admin");
  return has < ROLES.indexOf(role) ? `This takes the role ${role}; you have ${info.caller.role}.` : "";
}
