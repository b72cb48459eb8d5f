/** Light, dark, or as the system has it; `theme.js` applies what was chosen before the page is painted, and what other tabs choose. */
import { element } from "./elements.js";
import { recall, remember } from "./memory.js";

const choice = element("theme", HTMLFieldSetElement);

/** Shows what was chosen, and applies and keeps what is chosen. */
export function startTheme(): void {
  const show = (): void => {
    const theme = recall("theme") ?? "auto";
    for (const radio of choice.querySelectorAll("input")) radio.checked = radio.value === theme;
  };
  show();
  choice.addEventListener("change", () => {
    const chosen = choice.querySelector<HTMLInputElement>("input:checked")?.value;
    const theme = chosen === "light" || chosen === "dark" ? chosen : "auto";
    apply(theme);
    remember("theme", theme);
  });
  addEventListener("storage", ({ key }) => (key === "crane:theme" || key === null) && show());
}

function apply(theme: "auto" | "light" | "dark"): void {
  const root = document.documentElement;
  if (theme === "auto") delete root.dataset["theme"];
  else root.dataset["theme"] = theme;
}
