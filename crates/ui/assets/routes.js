// @ts-check
// All pages of the UI, and its navigation. A page's module exports its component as `default`.

/**
 * @typedef {object} Route
 * @property {string} path
 * @property {() => Promise<{ default: unknown }>} load
 */

/** @type {Route[]} the first one that fits counts */
export const ROUTES = [
  { path: "/ui", load: () => import("./pages/overview.js") },
  { path: "/ui/functions", load: () => import("./pages/functions.js") },
  { path: "/ui/functions/:name/:tab?", load: () => import("./pages/function.js") },
  { path: "/ui/deploy", load: () => import("./pages/deploy.js") },
  { path: "/ui/calls", load: () => import("./pages/calls.js") },
  { path: "/ui/calls/:id", load: () => import("./pages/call.js") },
  { path: "/ui/dead", load: () => import("./pages/dead.js") },
  { path: "/ui/dead/:id", load: () => import("./pages/letter.js") },
  { path: "/ui/sources", load: () => import("./pages/sources.js") },
  { path: "/ui/sources/:name/events/:id", load: () => import("./pages/source-event.js") },
  { path: "/ui/sources/:name/:tab?", load: () => import("./pages/source.js") },
  { path: "/ui/schedules", load: () => import("./pages/schedules.js") },
  { path: "/ui/schedules/:name/:tab?", load: () => import("./pages/schedule.js") },
  { path: "/ui/logs", load: () => import("./pages/logs.js") },
  { path: "/ui/secrets", load: () => import("./pages/secrets.js") },
  { path: "/ui/namespaces", load: () => import("./pages/namespaces.js") },
  { path: "/ui/health/:tab?", load: () => import("./pages/health.js") },
];

/**
 * @typedef {object} Place
 * @property {string} title
 * @property {string} href
 * @property {import("./components/icon.js").IconName} icon
 * @property {string} [key] the second letter of its shortcut, after g
 * @property {boolean} [ofAll] it is about all namespaces, and not for those who are limited to some
 */

/** @type {Place[][]} groups of places, as the navigation shows them */
export const PLACES = [
  [
    { title: "Overview", href: "/ui/", icon: "overview", key: "o" },
    { title: "Functions", href: "/ui/functions", icon: "function", key: "f" },
    { title: "Calls", href: "/ui/calls", icon: "calls", key: "c" },
    { title: "Dead letters", href: "/ui/dead", icon: "dead", key: "d" },
  ],
  [
    { title: "Sources", href: "/ui/sources", icon: "source", key: "s", ofAll: true },
    { title: "Schedules", href: "/ui/schedules", icon: "clock", key: "t", ofAll: true },
    { title: "Logs", href: "/ui/logs", icon: "logs", key: "l" },
  ],
  [
    { title: "Secrets", href: "/ui/secrets", icon: "secret", key: "k" },
    { title: "Namespaces", href: "/ui/namespaces", icon: "namespace", key: "n", ofAll: true },
    { title: "Health", href: "/ui/health", icon: "health", key: "h" },
  ],
];
