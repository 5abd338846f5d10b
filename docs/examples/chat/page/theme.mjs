// Light or dark: as the system has it, until somebody says otherwise.

const root = document.documentElement;
root.dataset.theme = localStorage.getItem("chat.theme") ?? "";

export function toggleTheme() {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("chat.theme", root.dataset.theme);
}
