// @ts-check
import { CallList, callOptions, curl, html, SameAs, useCallQuery, words } from "../../kit.js";

/** @param {{ name: string }} props */
export function Calls({ name }) {
  const query = useCallQuery(name);
  return html`<${CallList} name=${name} />
    <${SameAs} skep=${words("skep", "calls", "list", ...callOptions(query))} curl=${curl("GET", "/system/calls", { query })} />`;
}
