// What the theme leaves for a screen reader to guess.
const names = {
  "[data-md-component=search]": "Search",
  "#__search": "Search",
  "#__drawer": "Menu",
};
for (const [selector, name] of Object.entries(names)) {
  document.querySelector(selector)?.setAttribute("aria-label", name);
}

// A button to copy is no landmark, and what scrolls can be scrolled with the keyboard. The theme
// makes both later.
const mend = () => {
  for (const nav of document.querySelectorAll("nav.md-code__nav:not([role])")) {
    nav.setAttribute("role", "presentation");
  }
  for (const wide of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) {
    if (wide.scrollWidth > wide.clientWidth) wide.setAttribute("tabindex", "0");
  }
};
new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
mend();
