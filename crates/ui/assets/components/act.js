// @ts-check
import { html } from "../preact.js";
import { useDenied } from "../session.js";
import { Icon } from "./icon.js";

/**
 * A button for something that takes a role. Without it the button is off, and says why.
 * @param {{
 *   role: "invoke" | "deploy" | "admin", icon?: import("./icon.js").IconName, primary?: boolean, danger?: boolean,
 *   disabled?: boolean, type?: string, onClick?: () => void, children?: unknown,
 * }} props
 */
export function Act({ role, icon, primary, danger, disabled = false, type = "button", onClick, children }) {
  const denied = useDenied(role);
  const kind = primary ? "primary" : danger ? "danger" : "";
  return html`<button type=${type} class=${kind} disabled=${disabled || denied !== ""} title=${denied || undefined} onClick=${onClick}>
    ${icon && html`<${Icon} name=${icon} />`}${children}</button>`;
}
