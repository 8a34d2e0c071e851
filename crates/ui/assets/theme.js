// @ts-check
// Light or dark: as the system has it, unless the reader has chosen. It is a module of its own because it runs first.

const KEY = "skep.theme";

/** @returns {"light" | "dark" | "system"} */
export function theme() {
  const chosen = stored();
  return chosen === "light" || chosen === "dark" ? chosen : "system";
}

/** @param {"light" | "dark" | "system"} chosen */
export function setTheme(chosen) {
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // Without storage the choice counts for this page only.
  }
  apply(chosen);
}

/**
 * The theme that is shown now.
 * @returns {"light" | "dark"}
 */
export function shownTheme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === "light" || chosen === "dark") return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** @param {string} chosen */
function apply(chosen) {
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  dispatchEvent(new Event("skep-theme"));
}

apply(theme());
