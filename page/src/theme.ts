/** Light or dark: what the system says, unless somebody chose. */
import { useSyncExternalStore } from "react";

const KEY = "millrace.theme";
const listeners = new Set<() => void>();
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const told = () => {
  document.documentElement.dataset.theme = theme();
  listeners.forEach((listener) => listener());
};

export function theme(): "light" | "dark" {
  const chosen = localStorage.getItem(KEY);
  if (chosen === "light" || chosen === "dark") return chosen;
  return dark.matches ? "dark" : "light";
}

export function toggleTheme(): void {
  localStorage.setItem(KEY, theme() === "dark" ? "light" : "dark");
  told();
}

export function useTheme(): "light" | "dark" {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, theme);
}

dark.addEventListener("change", told);
told();
