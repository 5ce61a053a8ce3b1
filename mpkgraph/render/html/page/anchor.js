// The state of the page as the part of its address after #, so that a link leads to what is seen.

export function encodeState(state) {
  const parts = Object.entries(state).filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return parts.map(([name, value]) => `${name}=${escapePart(String(value))}`).join("&");
}

// As encodeURIComponent, but for what reads well in an address.
function escapePart(text) {
  return encodeURIComponent(text).replace(/%2C/g, ",").replace(/%3A/g, ":").replace(/%20/g, "+");
}

export function decodeState(hash) {
  const found = {};
  for (const part of hash.replace(/^#/, "").split("&")) {
    const cut = part.indexOf("=");
    if (cut <= 0) continue;
    try {
      found[part.slice(0, cut)] = decodeURIComponent(part.slice(cut + 1).replace(/\+/g, " "));
    } catch {
      // A broken escape says nothing: the rest of the link still counts
    }
  }
  return found;
}
