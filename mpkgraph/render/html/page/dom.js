// Elements from names and text. Text goes in as text, never as markup: names are not to be trusted.

export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

export const byId = (id) => document.getElementById(id);

export function replace(parent, ...children) {
  parent.replaceChildren(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
}

// A button that looks like a link and leads to a place of the page.
export function link(app, kind, id, text, title = "") {
  return el("button", { type: "button", class: "link", title, onclick: () => app.go({ kind, id }) }, text);
}

export function swatch(colour) {
  const element = el("span", { class: "swatch" });
  element.setAttribute("aria-hidden", "true");
  element.style.backgroundColor = colour;
  return element;
}

export function facts(rows) {
  const list = el("dl", { class: "facts" });
  for (const [name, ...values] of rows) {
    if (values.length === 0 || values[0] === null || values[0] === undefined || values[0] === "") continue;
    list.append(el("dt", {}, name), el("dd", {}, ...values));
  }
  return list;
}

export function bytesText(count) {
  let size = count;
  let unit = 0;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${size.toFixed(1).replace(/\.0$/, "")} ${units[unit]}`;
}
