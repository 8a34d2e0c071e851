// @ts-check
import { asUser } from "../command.js";
import { html } from "../preact.js";
import { useLogin } from "../session.js";
import { Copy } from "./copy.js";

/**
 * The commands that show or do the same as the page.
 * @param {{ title?: string, skep?: string, curl: string }} props `title` is the act that they do, where there are several
 */
export function SameAs({ title = "Same as", skep, curl: line }) {
  const curl = asUser(line, useLogin());
  return html`<div class="same-as" role="group" aria-label=${`${title}, as a command`}>
    <span class="same-as-title">${title}</span>
    <div>${
      skep &&
      html`<span class="command"><code>${skep}</code><${Copy} text=${skep} label="Copy the skep command" />
      </span>`
    }
    <span class="command"><code>${curl}</code><${Copy} text=${curl} label="Copy the curl command" /></span></div>
  </div>`;
}
