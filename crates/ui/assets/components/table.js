// @ts-check
// Tables of live rows: sorted by the reader, stable under the mouse, on narrow screens a list.
import { count } from "../format.js";
import { html, useMemo, useRef, useState } from "../preact.js";
import { navigate, setSearch, useSearch } from "../router.js";
import { Icon } from "./icon.js";

/** How many rows there are at once; a page of thousands of them would be slow. */
const STEP = 100;

/**
 * @template R
 * @typedef {object} Column
 * @property {string} key
 * @property {string} title
 * @property {(row: R) => unknown} cell
 * @property {(row: R) => string | number | undefined} [sort] what to sort by; without it the column cannot be sorted by
 * @property {boolean} [number] to the right, greatest first
 * @property {boolean} [bare] without its title in lists on narrow screens, where it speaks for itself
 * @property {boolean} [end] at the right edge
 * @property {(row: R) => boolean} [nil] whether there is nothing to say, so that lists on narrow screens leave it out
 * @property {boolean} [main] the cell that names the row
 * @property {boolean} [why] long text, which gets what room there is
 * @property {"wide" | "medium"} [from] left out on screens that are narrower
 */

/**
 * @template R
 * @param {{
 *   caption: string, rows: R[], columns: Column<R>[], rowKey: (row: R) => string, href?: (row: R) => string,
 *   sort?: string, selected?: Set<string>, onSelect?: (keys: Set<string>) => void, tone?: (row: R) => string, inOrder?: boolean, most?: number,
 * }} props `sort` is the key of the column that is sorted by at first, with a minus for descending;
 *   `inOrder` keeps the order of `rows`; `most` is how many are shown at first
 */
export function Table(props) {
  const { caption, columns, rowKey, href, selected, onSelect, tone } = props;
  const [order, setOrder] = useSearch("sort", props.sort ?? "");
  const [held, setHeld] = useState(false);
  const [most, setMost] = useState(props.most ?? STEP);
  const all = useStable(props.inOrder ? props.rows : sorted(props.rows, columns, order), rowKey, held);
  const rows = all.slice(0, most);
  const hold = (/** @type {boolean} */ on) => () => setHeld(on);
  return html`<div class="table-frame"><table class="table" role="table" onMouseLeave=${hold(false)}>
    <caption class="sr-only">${caption}</caption>
    <thead role="rowgroup"><tr role="row">
      ${
        onSelect &&
        html`<th role="columnheader" class="pick" scope="col">
        <${PickAll} ...${{ rows, rowKey, selected, onSelect }} /></th>`
      }
      ${columns.map((column) => html`<${Head} key=${column.key} ...${{ column, order, setOrder }} />`)}
    </tr></thead>
    <tbody role="rowgroup" onMouseEnter=${hold(true)} onMouseLeave=${hold(false)}>
      ${rows.map((row) => {
        const id = rowKey(row);
        return html`<${Line} key=${id} ...${{ row, id, columns, to: href?.(row), tone: tone?.(row) ?? "", selected, onSelect }} />`;
      })}
    </tbody>
  </table>${
    all.length > most &&
    html`<p class="table-more">${count(most)} of ${count(all.length)} are shown.
    <button type="button" onClick=${() => setMost(most + STEP)}>Show more</button></p>`
  }</div>`;
}

/**
 * A row. One of which nothing has changed is not made again: of a thousand functions most are idle.
 * @param {{ row: any, id: string, columns: Column<any>[], to?: string, tone: string, selected?: Set<string>, onSelect?: (keys: Set<string>) => void }} props
 */
function Line({ row, id, columns, to, tone, selected, onSelect }) {
  return useMemo(() => {
    const go = to && ((/** @type {MouseEvent} */ event) => open(event, to));
    return html`<tr role="row" class=${`${tone}${selected?.has(id) ? " is-selected" : ""}`} data-href=${to} onClick=${go}>
      ${onSelect && html`<td role="cell" class="pick"><${Pick} ...${{ id, selected, onSelect }} /></td>`}
      ${columns.map(
        (
          column,
        ) => html`<td role="cell" key=${column.key} class=${`${kind(column)}${column.nil?.(row) ? " is-nil" : ""}`} data-label=${column.title}>
        ${column.main && to ? html`<a class="row-link" href=${to}>${column.cell(row)}</a>` : column.cell(row)}</td>`,
      )}
    </tr>`;
  }, [row, id, columns, to, tone, selected, onSelect]);
}

/** @param {Column<any>} column */
function kind(column) {
  return `${column.number ? "num " : ""}${column.main ? "main " : ""}${column.why ? "why " : ""}${column.bare ? "is-bare " : ""}${column.end ? "end " : ""}${column.from ? `from-${column.from}` : ""}`;
}

/**
 * A click anywhere on a row opens it, unless it is on something of its own or selects text.
 * @param {MouseEvent} event
 * @param {string} to
 */
function open(event, to) {
  const target = /** @type {Element} */ (event.target);
  if (event.defaultPrevented || target.closest("a, button, input, label, summary") || String(getSelection())) return;
  if (event.metaKey || event.ctrlKey) window.open(to, "_blank", "noopener");
  else navigate(to);
}

/** @param {{ column: Column<any>, order: string, setOrder: (order: string) => void }} props */
function Head({ column, order, setOrder }) {
  const by = order.replace("-", "");
  const descending = order.startsWith("-");
  if (!column.title) return html`<td role="cell" class=${kind(column)} />`;
  if (!column.sort) return html`<th role="columnheader" scope="col" class=${kind(column)}>${column.title}</th>`;
  const active = by === column.key;
  const next = active ? (descending ? column.key : `-${column.key}`) : column.number ? `-${column.key}` : column.key;
  const direction = active ? (descending ? "descending" : "ascending") : "none";
  return html`<th role="columnheader" scope="col" class=${kind(column)} aria-sort=${direction}>
    <button type="button" class="sort" onClick=${() => setOrder(next)}><span>${column.title}</span>
      ${active && html`<${Icon} name=${descending ? "down" : "up"} />`}</button></th>`;
}

/** @param {{ id: string, selected?: Set<string>, onSelect: (keys: Set<string>) => void }} props */
function Pick({ id, selected = new Set(), onSelect }) {
  const change = () => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    onSelect(next);
  };
  return html`<label class="tick">
    <input type="checkbox" aria-label=${`Select ${id}`} checked=${selected.has(id)} onChange=${change} /></label>`;
}

/** @param {{ rows: any[], rowKey: (row: any) => string, selected?: Set<string>, onSelect: (keys: Set<string>) => void }} props */
function PickAll({ rows, rowKey, selected = new Set(), onSelect }) {
  const all = rows.length > 0 && rows.every((row) => selected.has(rowKey(row)));
  return html`<label class="tick"><input type="checkbox" aria-label="Select all rows that are shown" checked=${all}
    onChange=${() => onSelect(all ? new Set() : new Set(rows.map(rowKey)))} /></label>`;
}

/**
 * @param {any[]} rows
 * @param {Column<any>[]} columns
 * @param {string} order
 */
function sorted(rows, columns, order) {
  const column = columns.find(({ key }) => key === order.replace("-", ""));
  const by = column?.sort;
  if (!by) return rows;
  const sign = order.startsWith("-") ? -1 : 1;
  // What has no figure comes last either way.
  return [...rows].sort((a, b) => {
    const [x, y] = [by(a), by(b)];
    if (x === undefined || y === undefined) return Number(x === undefined) - Number(y === undefined);
    return x < y ? -sign : x > y ? sign : 0;
  });
}

/**
 * While the mouse is over the rows they keep their places: those that are gone leave, new ones come last.
 * @param {any[]} rows @param {(row: any) => string} rowKey @param {boolean} held
 */
function useStable(rows, rowKey, held) {
  const before = useRef(/** @type {string[]} */ ([]));
  if (held) {
    const places = new Map(before.current.map((key, i) => [key, i]));
    const place = (/** @type {any} */ row) => places.get(rowKey(row)) ?? Infinity;
    rows = [...rows].sort((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
  }
  before.current = rows.map(rowKey);
  return rows;
}

/**
 * A field that filters rows by text, kept in the address.
 * @param {{ label: string, name?: string, placeholder?: string }} props
 */
export function Filter({ label, name = "q", placeholder }) {
  const [value] = useSearch(name);
  return html`<label class="filter"><${Icon} name="search" />
    <input type="search" data-filter aria-label=${label} placeholder=${placeholder ?? label}
    value=${value} autocomplete="off" spellcheck="false" onInput=${(/** @type {any} */ e) => setSearch({ [name]: e.target.value })} /></label>`;
}

/**
 * One of a few presets, kept in the address.
 * @param {{ label: string, name: string, options: [string, string, number?][] }} props
 */
export function Presets({ label, name, options }) {
  const [value, setValue] = useSearch(name, options[0][0]);
  return html`<div class="presets" role="group" aria-label=${label}>
    ${options.map(
      ([
        key,
        title,
        n,
      ]) => html`<button key=${key} type="button" aria-pressed=${value === key} onClick=${() => setValue(key)}>
      ${title}${n !== undefined && html` <span class="n">${n}</span>`}</button>`,
    )}
  </div>`;
}
