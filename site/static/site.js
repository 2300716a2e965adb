// Opened from a folder, a page may not read other pages: results of a search are shown without an extract.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// What the theme does not say to those who listen or use the keyboard.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelector(".sidebar-primary-items__start > .sidebar-primary-item")?.setAttribute("role", "banner");
  for (const summary of document.querySelectorAll(".bd-links summary")) {
    const name = summary.closest("li").querySelector("a").textContent;
    summary.setAttribute("aria-label", `Pages of ${name}`);
  }
});
addEventListener("load", () =>
  globalThis.MathJax?.startup?.promise.then(() => {
    for (const formula of document.querySelectorAll("mjx-container"))
      if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
  })
);
