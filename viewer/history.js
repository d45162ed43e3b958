// The worlds that the page carries: each is what changed against the one before it, the first against nothing.
// A change of n voxels is n gaps between their indices (int32), then their n new materials (uint16), gzipped.

export class History {
  /** `moments`: [{label, step, change}] with `change` in base64. */
  static async read({ shape, moments }) {
    const changes = await Promise.all(moments.map(({ change }) => unpack(change)));
    return new History(shape, changes);
  }

  constructor(shape, changes) {
    this.shape = shape;
    this.changes = changes;
    this.first = new Uint16Array(shape[0] * shape[1] * shape[2]);
    apply(this.first, changes[0]);
    this.blocks = this.first.slice();
    this.at = 0;
  }

  /** The blocks at moment `index`; valid until the next call. */
  seek(index) {
    if (index < this.at) {
      this.blocks.set(this.first);
      this.at = 0;
    }
    while (this.at < index) apply(this.blocks, this.changes[++this.at]);
    return this.blocks;
  }
}

async function unpack(base64) {
  const packed = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = await new Response(stream).arrayBuffer();
  const count = bytes.byteLength / 6;
  return { gaps: new Int32Array(bytes, 0, count), materials: new Uint16Array(bytes, 4 * count, count) };
}

function apply(blocks, { gaps, materials }) {
  for (let i = 0, at = 0; i < gaps.length; i++) {
    at += gaps[i];
    blocks[at] = materials[i];
  }
}
