// @ts-check
import { html, useEffect, useRef } from "../preact.js";

/**
 * Parts of one thing, each with an address of its own.
 * @param {{ label: string, current: string, tabs: { key: string, title: string, href: string, n?: unknown }[] }} props
 */
export function Tabs({ label, current, tabs }) {
  const bar = useRef(/** @type {HTMLElement | null} */ (null));
  // On narrow screens the current one may be out of sight.
  useEffect(() => {
    const show = () => {
      const chosen = bar.current?.querySelector("[aria-current]");
      if (bar.current && chosen instanceof HTMLElement)
        bar.current.scrollLeft = chosen.offsetLeft - bar.current.clientWidth / 3;
    };
    show();
    addEventListener("resize", show);
    return () => removeEventListener("resize", show);
  }, [current]);
  return html`<nav class="tabs" aria-label=${label} ref=${bar}>${tabs.map(
    ({ key, title, href, n }) => html`<a key=${key} href=${href}
    aria-current=${key === current ? "page" : undefined}>${title}${
      n !== undefined &&
      n !== "" &&
      html` <span class="n">
      ${n}</span>`
    }</a>`,
  )}</nav>`;
}
