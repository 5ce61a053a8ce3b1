// The page's data: base64 of a zlib stream of a JSON header and columns (see render/html/encode.py).

const SLICE_MS = 12;

export async function inflate(base64) {
  const stream = new Blob([fromBase64(base64)]).stream();
  const inflated = stream.pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(inflated).arrayBuffer());
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// Lets the browser draw and listen between slices of long work.
export class Pacer {
  constructor(sliceMs = SLICE_MS) {
    this.sliceMs = sliceMs;
    this.start = performance.now();
  }

  async pause() {
    if (performance.now() - this.start < this.sliceMs) return;
    await new Promise((resolve) => {
      const channel = new MessageChannel();
      channel.port1.onmessage = resolve;
      channel.port2.postMessage(0);
    });
    this.start = performance.now();
  }
}

export async function readData(bytes, progress = () => {}) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const columns = {};
  const pacer = new Pacer();
  let at = 4 + length;
  for (const [name, type, count, first, planes] of header.columns) {
    columns[name] = type === "f64"
      ? readFloats(bytes, at, count)
      : readIntegers(bytes, at, type, count, first, planes);
    at += planes * count;
    progress(at / bytes.length);
    await pacer.pause();
  }
  return { header, columns };
}

// Differences, zigzag-coded, low bytes of all of them first; only bytes that some of them need.
function readIntegers(bytes, at, type, count, first, planes) {
  const values = type === "u32" ? new Uint32Array(count) : new Int32Array(count);
  if (!planes) return values.fill(first);
  let last = first;
  if (planes === 1) {
    for (let i = 0; i < count; i++) {
      const code = bytes[at + i];
      last = (last + ((code >>> 1) ^ -(code & 1))) | 0;
      values[i] = last;
    }
    return values;
  }
  for (let i = 0; i < count; i++) {
    let code = 0;
    for (let p = 0; p < planes; p++) code |= bytes[at + p * count + i] << (8 * p);
    last = (last + ((code >>> 1) ^ -(code & 1))) | 0;
    values[i] = last;
  }
  return values;
}

function readFloats(bytes, at, count) {
  const out = new Uint8Array(8 * count);
  for (let p = 0; p < 8; p++) {
    for (let i = 0; i < count; i++) out[8 * i + p] = bytes[at + p * count + i];
  }
  return new Float64Array(out.buffer);
}
