// Elements from data, and a document that changes only where the data did: focus, scroll and open details stay.

export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else if (name === "value") element.value = value;
    else element.setAttribute(name === "class" ? "class" : name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return element;
}

export function show(container, ...wanted) {
  const draft = h("div", null, ...wanted);
  children(container, [...draft.childNodes]);
}

// A child with a key is found by it, any other one by its place; what is new goes in before what is there.
function children(parent, wanted) {
  const keys = new Set(wanted.map(keyOf));
  const known = new Map();
  for (const node of [...parent.childNodes]) {
    const key = keyOf(node);
    if (key === null) continue;
    if (keys.has(key)) known.set(key, node);
    else node.remove();
  }
  let next = parent.firstChild;
  for (const node of wanted) {
    const key = keyOf(node), old = key === null ? next : known.get(key);
    known.delete(key);
    if (!old || !alike(old, node)) {
      parent.insertBefore(node, next);
      continue;
    }
    // Who is moved loses the focus, so it is the others that make way.
    while (next !== old && old.contains(document.activeElement)) {
      const after = next.nextSibling;
      parent.append(next);
      next = after;
    }
    if (next !== old) parent.insertBefore(old, next);
    update(old, node);
    next = old.nextSibling;
  }
  while (next !== null) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

function alike(old, node) {
  return old.nodeType === node.nodeType && old.nodeName === node.nodeName && keyOf(old) === keyOf(node);
}

function update(old, node) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== node.data) old.data = node.data;
    return;
  }
  if (old.hasAttribute("data-own")) return;
  for (const { name } of [...old.attributes]) {
    if (!node.hasAttribute(name) && name !== "open" && name !== "style") old.removeAttribute(name);
  }
  for (const { name, value } of [...node.attributes]) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.style.cssText !== node.style.cssText) old.style.cssText = node.style.cssText;
  children(old, [...node.childNodes]);
}
