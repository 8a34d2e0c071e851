// @ts-check
// Starts the UI, and shows the page that the address names.
import { Help } from "./components/help.js";
import { Empty, Failure, Loading, Page } from "./components/page.js";
import { Shell } from "./components/shell.js";
import { startKeys } from "./keys.js";
import { html, render, useEffect, useErrorBoundary, useState } from "./preact.js";
import { match, useLocation } from "./router.js";
import { ROUTES } from "./routes.js";
import { startStats } from "./stats.js";

/** @type {Map<string, any>} pages that are loaded, by the pattern of their path */
const loaded = new Map();

function App() {
  const [help, setHelp] = useState(false);
  useEffect(() => startKeys(() => setHelp(true)), []);
  const { path } = useLocation();
  return html`<${Shell} onHelp=${() => setHelp(true)}><${Guarded} key=${path.split("/")[2] ?? ""} path=${path} /><//>
    ${help && html`<${Help} onClose=${() => setHelp(false)} />`}`;
}

/**
 * A page that fails takes only itself down.
 * @param {{ path: string }} props
 */
function Guarded({ path }) {
  const [error, again] = useErrorBoundary((/** @type {Error} */ why) => console.error(why));
  if (error) return html`<${Page} title="This page failed"><${Failure} error=${error} retry=${again} /><//>`;
  return html`<${Current} path=${path} />`;
}

/** @param {{ path: string }} props */
function Current({ path }) {
  const [, again] = useState(0);
  const [error, setError] = useState(/** @type {Error | undefined} */ (undefined));
  const route = ROUTES.find((each) => match(each.path, path));
  const Component = route && loaded.get(route.path);
  useEffect(() => {
    if (!route || Component) return;
    setError(undefined);
    route.load().then(
      (page) => {
        loaded.set(route.path, page.default);
        again((n) => n + 1);
      },
      () => setError(new Error("This page could not be loaded: load the UI again, it may be of another version.")),
    );
  }, [route?.path]);
  if (!route)
    return html`<${Page} title="There is no such page"><${Empty} title="Nothing is here"><p>
      <a href="/ui/">The overview</a> leads to everything.</p><//><//>`;
  if (error) return html`<${Page} title="skep"><${Failure} error=${error} retry=${() => location.reload()} /><//>`;
  if (!Component) return html`<div class="page"><${Loading} /></div>`;
  return html`<${Component} key=${route.path} params=${match(route.path, path)} />`;
}

startStats();
const app = document.getElementById("app");
if (app) render(html`<${App} />`, app);
