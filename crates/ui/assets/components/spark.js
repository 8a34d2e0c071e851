// @ts-check
import { html, useMemo } from "../preact.js";
import { history, useHistory } from "../stats.js";

const WIDTH = 96;
const HEIGHT = 20;
/** The line has fewer points than there are: the greatest of each two pixels. */
const COLUMNS = WIDTH / 2 + 1;

/**
 * A small line of one figure in the last minutes.
 * @param {{ name: string, series?: import("../history.js").Series, label: string }} props
 */
export function Spark({ name, series = "rate", label }) {
  const version = useHistory();
  const [line, flat] = useMemo(() => drawn(history.peaks(name, series, COLUMNS)), [name, series, version]);
  return html`<svg class="spark" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${label}>
    <path class="spark-base" d=${`M0 ${HEIGHT - 1.5}H${WIDTH}`} />${line && html`<path class=${flat ? "spark-line is-flat" : "spark-line"} d=${line} />`}
      </svg>`;
}

/**
 * The line, and whether all of it is zero.
 * @param {Float32Array} peaks NaN where nothing is known
 * @returns {[string, boolean]}
 */
function drawn(peaks) {
  const top = peaks.reduce((most, peak) => (peak > most ? peak : most), 0.1);
  const points = [];
  for (const [i, peak] of peaks.entries())
    if (!Number.isNaN(peak)) points.push(`${i * 2} ${(HEIGHT - 2 - (peak / top) * (HEIGHT - 4)).toFixed(1)}`);
  return [points.length > 1 ? `M${points.join("L")}` : "", !peaks.some((peak) => peak > 0)];
}
