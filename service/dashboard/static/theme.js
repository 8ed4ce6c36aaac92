// Before anything is painted, so that a page never flashes in the other colours: what was chosen here before.
const chosen = localStorage.getItem("theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
