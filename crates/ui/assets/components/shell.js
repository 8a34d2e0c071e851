// @ts-check
// What is around each page: the navigation, the state of the connection, the theme.
import { count } from "../format.js";
import { html, useEffect, useState } from "../preact.js";
import { useLocation } from "../router.js";
import { PLACES } from "../routes.js";
import { useLimits } from "../session.js";
import { useStats } from "../stats.js";
import { setTheme, shownTheme } from "../theme.js";
import { Icon } from "./icon.js";
import { Status } from "./status.js";
import { Toasts } from "./toast.js";

/** @param {{ onHelp: () => void, children?: unknown }} props */
export function Shell({ onHelp, children }) {
  const [open, setOpen] = useState(false);
  const { path } = useLocation();
  useEffect(() => setOpen(false), [path]);
  return html`<div class="shell">
    <a class="skip" href="#main">Skip to the page</a>
    <header class=${`side ${open ? "is-open" : ""}`}>
      <div class="brand"><a href="/ui/"><${Mark} />skep</a>
        <button type="button" class="plain menu" aria-expanded=${open} aria-controls="places" onClick=${() => setOpen(!open)}>
          <${Icon} name=${open ? "cross" : "menu"} /><span class="sr-only">Menu</span></button></div>
      <nav id="places" aria-label="Pages"><${Places} path=${path} /></nav>
      <div class="side-foot"><${Connection} />
        <div class="side-tools"><${Theme} />
          <button type="button" class="plain" title="Keyboard shortcuts (?)" aria-label="Keyboard shortcuts" onClick=${onHelp}><${Icon} name="keys" /></button></div>
      </div>
    </header>
    <main id="main" tabindex="-1"><${Away} />${children}</main>
    <${Toasts} />
  </div>`;
}

/** @param {{ path: string }} props */
function Places({ path }) {
  const stats = useStats();
  const isLimited = Boolean(useLimits()?.length);
  return PLACES.map(
    (group, i) =>
      html`<ul key=${i}>${group
        .filter(({ ofAll }) => !ofAll || !isLimited)
        .map(({ title, href, icon }) => {
          const current = href === "/ui/" ? /^\/ui\/?$/.test(path) : path === href || path.startsWith(`${href}/`);
          const dead = href === "/ui/dead" && stats?.dead ? stats.dead : 0;
          return html`<li key=${href}><a href=${href} aria-current=${current ? "page" : undefined}>
          <${Icon} name=${icon} />
      <span>${title}</span>
      ${dead > 0 && html`<span class="badge">${count(dead)}</span>`}</a></li>`;
        })}</ul>`,
  );
}

function Connection() {
  const stats = useStats();
  if (!stats) return html`<${Status} tone="quiet" icon="clock">Connecting<//>`;
  if (stats.away) return html`<${Status} tone="bad" icon="warning">No connection<//>`;
  if (!stats.nats) return html`<${Status} tone="bad" icon="warning">NATS is away<//>`;
  if (stats.controller === false) return html`<${Status} tone="bad" icon="warning">No controller<//>`;
  const text = stats.by === "live" ? "Live, each second" : "Live, every 2 s";
  return html`<${Status} tone="ok" icon="health">${text}<//>`;
}

/** What the reader has to know on each page. */
function Away() {
  const stats = useStats();
  const text = stats?.away
    ? "The gateway does not answer. Figures are from before; this page goes on by itself when it is back."
    : stats && !stats.nats
      ? "The gateway has no connection to NATS. Synchronous calls go on; queued calls are refused until it is back."
      : stats?.controller === false
        ? "No controller answers. Calls go on; nothing can be deployed or scaled, and figures of calls are from before."
        : "";
  return html`<div class="away" role="alert">${text && html`<p><${Icon} name="warning" />${text}</p>`}</div>`;
}

function Theme() {
  const [shown, setShown] = useState(shownTheme());
  useEffect(() => {
    const changed = () => setShown(shownTheme());
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("skep-theme", changed);
    scheme.addEventListener("change", changed);
    return () => {
      removeEventListener("skep-theme", changed);
      scheme.removeEventListener("change", changed);
    };
  }, []);
  const other = shown === "dark" ? "light" : "dark";
  return html`<button type="button" class="plain" title=${`Use the ${other} theme`} aria-label=${`Use the ${other} theme`}
    onClick=${() => setTheme(other)}><${Icon} name=${shown === "dark" ? "sun" : "moon"} /></button>`;
}

function Mark() {
  return html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
    <path d="M16 3c5 0 8 3.5 9.5 7h-19C8 6.5 11 3 16 3z" />
    <path d="M5.5 12h21c.8 1.6 1.3 3.2 1.6 5H3.9c.3-1.8.8-3.4 1.6-5z" />
    <path d="M3.7 19h24.6c.1 1.7 0 3.4-.3 5H4c-.3-1.6-.4-3.3-.3-5z" /><path d="M4.5 26h23l-.8 3H5.3z" /></svg>`;
}
